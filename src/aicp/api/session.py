"""Logging in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response, status

from aicp.api.access import REQUEST_HEADER, SESSION_COOKIE, CallerDep, session_token
from aicp.api.use_cases import use_case
from aicp.control.sessions import SESSION_LIFE, Sessions
from aicp.core.identity import Login, PasswordChange, Preferences, Session, User

router = APIRouter(prefix="/api/v1/session", tags=["session"])
SessionsUse = Annotated[Sessions, use_case(Sessions)]


@router.post("", status_code=status.HTTP_201_CREATED)
async def login(body: Login, request: Request, response: Response, sessions: SessionsUse) -> Session:
    """Opens a session. With the header `X-AICP-Request: 1` (the console) the token comes as a cookie that scripts
    cannot read; without it (programs) in the answer, to be sent as bearer."""
    address = request.client.host if request.client else None
    session = await sessions.login(body, address=address, request_id=request.state.request_id)
    return _hand_over(session, request, response)


@router.get("")
async def get_session(request: Request, _: CallerDep, sessions: SessionsUse) -> Session:
    """Who is logged in, with which permissions."""
    return await sessions.current(session_token(request))


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def logout(request: Request, response: Response, caller: CallerDep, sessions: SessionsUse) -> None:
    """Ends the session."""
    await sessions.logout(caller, session_token(request))
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


@router.post("/password")
async def change_password(
    body: PasswordChange, request: Request, response: Response, caller: CallerDep, sessions: SessionsUse
) -> Session:
    """Sets the own password. All sessions of the user end; this answer opens a new one."""
    return _hand_over(await sessions.change_password(caller, body), request, response)


@router.put("/preferences")
async def set_preferences(body: Preferences, caller: CallerDep, sessions: SessionsUse) -> User:
    """Remembers what the console shows."""
    return await sessions.set_preferences(caller, body)


def _hand_over(session: Session, request: Request, response: Response) -> Session:
    if request.headers.get(REQUEST_HEADER) != "1" or session.token is None:
        return session
    response.set_cookie(
        SESSION_COOKIE,
        session.token,
        max_age=int(SESSION_LIFE.total_seconds()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return session.model_copy(update={"token": None})
