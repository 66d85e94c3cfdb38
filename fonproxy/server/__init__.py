"""The web server: h11 reads and writes HTTP, asyncio moves the bytes, threads run the application.

A thread never waits for a client. The loop buffers a request's body before a thread sees it, and sends what a thread
has produced while the thread works for others. Everything that a client can hold is bounded: connections by address,
time by the bytes that it moves, bodies by route and credential, threads by the lane of the route.

::

    listener     accepts connections, counts them by address, stops in order
    connection   one connection: request after request, each with its deadlines
    callers      whose a request is, as far as that is known before it is answered
    bodies       how large a body may be, and the room that all bodies share
    batches      requests of one kind that one thread works on together
    lanes        which threads serve which routes, and how many one caller may hold
    wsgi         the request as a WSGI environ, the application's answer as chunks
    refusals     the server's own errors, in the shape of the path's family
"""
