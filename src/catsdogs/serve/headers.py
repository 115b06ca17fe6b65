"""What browsers are told about every answer: run nothing foreign, guess no types, show it in no frame."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
          "frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
# Swagger UI and ReDoc come from a foreign host and run inline: `--hide-docs` does without.
DOCS_POLICY = ("default-src 'none'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'self' "
               "'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
               "font-src https://fonts.gstatic.com; "
               "img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly; connect-src 'self'; "
               "worker-src blob:; frame-ancestors 'none'; base-uri 'none'")
DOCS = ("/docs", "/redoc")
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


class SecurityHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # As they are sent: the same for every answer.
        lines = [(name.lower().encode(), value.encode()) for name, value in ALWAYS.items()]
        self.elsewhere = [*lines, (b"content-security-policy", POLICY.encode())]
        self.in_docs = [*lines, (b"content-security-policy", DOCS_POLICY.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = self.in_docs if scope["path"].startswith(DOCS) else self.elsewhere  # no route sets any of them
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        await self.app(scope, receive, guarded if scope["type"] == "http" else send)
