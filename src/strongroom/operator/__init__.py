"""The publisher's desk: seal a model where it was made, sign it, deposit its key, upload it.

`protect` stands beside a trainer; `OfficeClient` is the admin API seen from there. The publisher can never read a
deposited key back (R13).
"""

from strongroom.operator.office import OfficeClient
from strongroom.operator.protect import Protected, protect

__all__ = ["OfficeClient", "Protected", "protect"]
