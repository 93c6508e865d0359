"""Facts about tampering with this process: cheap, independent of one another, and never a reason to act here.

Each probe judges bytes it is given (`process`, `machine`, `package`); `looking` reads them. What is found goes into the
signals of a request, inside the proof and so bound to its challenge, and the server combines it with what others say
(docs/spec/protocol.md section 18). A developer with a debugger is told on, and not harmed.

Whoever controls this process can make every probe say what he likes. That takes work for each of them, and whoever
stubs `looking.look` alone also takes away what an honest device of his build says.
"""
