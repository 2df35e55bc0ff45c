"""Ctrl-C while Python waits, and the end of the interpreter while a server runs."""

from __future__ import annotations

import signal
import time

import pytest
from peers import line, running, script

WAITS = ("wait", "wait with a timeout", "turn", "turn with a timeout", "close", "with", "asyncio")


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait_at_once_and_the_wait_costs_nothing(wait: str) -> None:
    code = """
        import asyncio, signal, sys, threading, time, trimtab, trimtab.aio
        from peers import config

        # Whoever runs the tests in the background has it ignored, here too.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        go_on = threading.Event()
        def hold_up(event):
            if event.kind is trimtab.EventKind.STOPPED and sys.argv[1] in ("close", "with"):
                go_on.wait()

        server = trimtab.Server(config(), on_event=hold_up)
        if sys.argv[1].startswith("turn"):
            server.start_hosted()
        elif sys.argv[1] != "asyncio":
            server.start()

        async def main():
            async with trimtab.aio.serve(server) as hosted:
                await hosted.wait_stopped()

        waits = {
            "wait": server.wait,
            "wait with a timeout": lambda: server.wait(3600),
            "turn": lambda: server.turn(None),
            "turn with a timeout": lambda: server.turn(3600),
            "close": server.close,
            "with": lambda: server.__exit__(None, None, None),
            "asyncio": lambda: asyncio.run(main()),
        }
        print("waits", flush=True)
        began = time.process_time()
        try:
            waits[sys.argv[1]]()
        except KeyboardInterrupt:
            print(time.monotonic(), time.process_time() - began, server.closed, flush=True)
        go_on.set()
        server.close()
        """
    with running(code, wait) as process:
        assert line(process) == "waits"
        # Long enough to see what waiting costs.
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        seen, cost, closed = line(process).split()
        # A tenth of a second is what is promised; the rest is for a machine that is busy.
        assert float(seen) - sent < 10.0
        assert float(cost) < 0.25
        assert closed == str(wait == "asyncio")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors == ""


def test_another_signal_does_not_end_a_wait() -> None:
    code = """
        import signal, trimtab
        from peers import config

        def handle(*_):
            print("handled", flush=True)
            if calls.append(1) or len(calls) == 6:
                server.stop()

        calls = []
        signal.signal(signal.SIGUSR1, handle)
        server = trimtab.Server(config())
        server.start_hosted()
        print("turns", flush=True)
        # A signal's handler runs in the middle of the wait, which goes on.
        server.turn(None)
        server.close()
        server = trimtab.Server(config())
        server.start()
        calls.clear()
        print("waits", flush=True)
        server.wait()
        print(len(calls))
        """
    with running(code) as process:
        for begin in ("turns", "waits"):
            assert line(process) == begin
            for _ in range(6):
                process.send_signal(signal.SIGUSR1)
                assert line(process) == "handled"
        assert line(process) == "6"
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and errors == ""


@pytest.mark.parametrize("end", ["falls off", "sys.exit", "raises"])
@pytest.mark.parametrize("how", ["own threads", "hosted"])
def test_a_server_that_runs_at_the_exit_is_stopped(how: str, end: str) -> None:
    output = script(
        """
        import sys, trimtab
        from peers import Echo, config, session

        echo = Echo()
        text = config(echo.address, workers=4)
        server = trimtab.Server(text, on_event=lambda event: print(event.kind.name, flush=True))
        if sys.argv[1] == "hosted":
            server.start_hosted()
        else:
            server.start()
            client = session(server.address("web"))
        if sys.argv[2] == "sys.exit":
            sys.exit(0)
        elif sys.argv[2] == "raises":
            sys.excepthook = lambda *_: None
            raise KeyError
        """,
        how,
        end,
        expect=1 if end == "raises" else 0,
    )
    assert output.split() == ["STARTED", "STOPPED"]


@pytest.mark.parametrize("daemon", ["wait", "turn", "change"])
def test_threads_that_python_leaves_behind(daemon: str) -> None:
    for _ in range(5):
        script(
            """
            import sys, threading, time, trimtab
            from peers import config

            def hear(event):
                told.append(event)
                time.sleep(0.0001)

            told, daemon = [], sys.argv[1]
            server = trimtab.Server(config("10.0.0.1:80"), on_event=hear)
            pool = server.pool("app")
            if daemon == "turn":
                server.start_hosted()
            else:
                server.start()

            def work():
                if daemon == "wait":
                    server.wait()
                elif daemon == "turn":
                    try:
                        while True:
                            server.turn(None)
                    except trimtab.StateError:
                        # It has ended.
                        pass
                else:
                    weight = 0
                    while True:
                        weight = weight % 100 + 1
                        pool.set_weight(1, weight)

            count = 1 if daemon == "turn" else 4
            for _ in range(count):
                threading.Thread(target=work, daemon=True).start()
            if daemon == "change":
                while len(told) < 20:
                    time.sleep(0.001)
            """,
            daemon,
        )


def test_what_runs_at_the_exit_before_that_still_has_its_server() -> None:
    output = script(
        """
        import atexit, trimtab
        from peers import Echo, config, exchange

        echo = Echo()
        server = trimtab.Server(config(echo.address))
        server.start()

        @atexit.register
        def end():
            print(exchange(server.address("web")).decode())
            server.drain()
            server.wait()
            print(server.state.name)
        """
    )
    assert output.split() == ["hello", "STOPPED"]


def test_what_runs_at_the_exit_after_that_can_still_ask() -> None:
    output = script(
        """
        import atexit

        @atexit.register
        def end():
            print(server.state.name, server.statistics().sessions)
            server.wait()
            server.pool("app").set_weight(1, 2)
            server.close()
            late = trimtab.Server(config(), on_event=lambda event: print(event.kind.name))
            late.start()
            late.close()

        import trimtab
        from peers import config

        server = trimtab.Server(config("10.0.0.1:80"), on_event=lambda event: print(event.kind.name))
        server.start()
        """
    )
    # The one that was made after that tells nothing.
    assert output.split() == ["STARTED", "STOPPED", "STOPPED", "0"]
