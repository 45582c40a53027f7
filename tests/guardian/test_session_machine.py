"""Whatever happens in whatever order: nobody's request ever runs in somebody else's name."""

from __future__ import annotations

from hypothesis import settings

from tests.support.session_machine import SessionMachine

TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
