"""For every test: hypothesis sets no deadline, since a busy machine is not a bug."""

try:
    from hypothesis import settings
except ImportError:  # the device's own environment has pytest and nothing else
    pass
else:
    settings.register_profile("strongroom", deadline=None)
    settings.load_profile("strongroom")
