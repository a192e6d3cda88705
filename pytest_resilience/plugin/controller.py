"""The soak in the controller of pytest-xdist: leads the workers and reports; xdist keeps them running."""

import json
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import execnet
import pytest

from pytest_resilience.clock import SystemClock
from pytest_resilience.errors import ResilienceError
from pytest_resilience.plugin.ending import Ending
from pytest_resilience.plugin.live import Console
from pytest_resilience.plugin.news import HookNews
from pytest_resilience.plugin.processes import cause_of, kill_local
from pytest_resilience.plugin.resumption import Course
from pytest_resilience.plugin.scheduler import Node, StandingScheduler
from pytest_resilience.plugin.soak_plugin import SoakPlugin
from pytest_resilience.plugin.suite import enough_failures
from pytest_resilience.plugin.verdict_reports import Location, Locations
from pytest_resilience.plugin.xdist_role import CHANNEL, SETTINGS_OF_THE_RUN
from pytest_resilience.soak import messages
from pytest_resilience.soak.crew import Crew
from pytest_resilience.soak.crew_run import CrewRun
from pytest_resilience.soak.link import decode, encode
from pytest_resilience.soak.member import Member
from pytest_resilience.soak.messages import Message
from pytest_resilience.soak.worker_end import Channel
from pytest_resilience.store.records import SoakTest

LOOK_SECONDS = 0.25
NO_WORKER = "the soak could not begin: no worker came as far as its tests"


class ChannelPort:
    """The controller's end of the link to one worker."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, number: int, command: Message) -> None:
        self._channel.send((number, encode(command)))


class ControllerPlugin(SoakPlugin):
    """Registered in the controller in place of SoakPlugin; no test is collected or run here."""

    def __init__(self, config: pytest.Config, course: Course) -> None:
        super().__init__(config, course)
        self._clock = SystemClock()
        self._run_led: CrewRun | None = None
        self._nodes: dict[str, Node] = {}
        self._down: set[str] = set()
        self._places: dict[str, Location] = {}
        self._trouble: BaseException | None = None
        self._refused = False
        self._turn_asked = threading.Event()
        self._crew = Crew(
            self._clock, config.option.dist, get_rid=self._get_rid, cause_of=cause_of, note=self._note
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Now the terminal is there, and the workers are not yet."""
        self._console = Console(self._config, self._clock)
        self._news = HookNews(self._config.hook, self._console.say)

    # What xdist asks and tells

    def pytest_xdist_make_scheduler(self) -> StandingScheduler:
        return StandingScheduler(self._is_over, self._take_turn)

    @pytest.hookimpl(trylast=True)
    def pytest_configure_node(self, node: Node) -> None:
        """Open a channel to a worker before it starts; also to one that takes the place of another."""
        name = self._name_of(node)
        channel = node.gateway.newchannel()
        node.workerinput.update({CHANNEL: channel, SETTINGS_OF_THE_RUN: self._settings.to_json()})
        self._nodes[name] = node
        self._crew.add(name, ChannelPort(channel))
        channel.setcallback(lambda batch: self._receive(name, batch), endmarker=None)

    def pytest_testnodedown(self, node: Node, error: object) -> None:
        self._down.add(self._name_of(node))
        if error:
            self._safely(lambda: self._crew.gone(self._name_of(node)))

    def _name_of(self, node: Node) -> str:
        """Return the name of a worker in the record of the run."""
        resumed = self._course.resumed
        return f"{resumed.prefix if resumed else ''}{node.gateway.id}"

    def _is_over(self) -> bool:
        led = self._run_led
        return self._refused or len(self._down) == len(self._nodes) or (led is not None and led.is_over)

    def _receive(self, name: str, batch: tuple[tuple[object, ...], ...] | None) -> None:
        """On the thread of the connection: an error here would end it."""
        if batch is None:
            self._safely(lambda: self._crew.gone(name))
            return
        for wire in batch:
            self._safely(lambda wire=wire: self._take(name, decode(wire)))  # type: ignore[misc]

    def _take(self, name: str, message: Message) -> None:
        if isinstance(message, messages.Joined):
            self._places.update(zip(message.tests, message.locations, strict=True))
        self._crew.receive(name, message)

    def _safely(self, act: Callable[[], None]) -> None:
        """Keep the first error for the main thread."""
        try:
            act()
        except BaseException as trouble:
            self._trouble = self._trouble or trouble

    def _get_rid(self, member: Member) -> None:
        if not kill_local(member):
            self._nodes[member.name].ensure_teardown()

    def _note(self, text: str) -> None:
        if self._run_led is None:
            self._console.say(text)
        else:
            self._run_led.note(text)

    # The loop

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(  # type: ignore[override]
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Soak while xdist's loop runs; then report, and go on with what ended it."""
        self._config.add_cleanup(self._signals.stop)
        self._signals.start()
        stop: BaseException | None = None
        with self._looking_after():
            try:
                yield
            except (OSError, EOFError, RuntimeError, execnet.HostNotFound) as error:
                stop = _ended(f"pytest-xdist cannot start or keep a worker: {error}")
            except BaseException as error:
                stop = error
            self._signals.hold()
            stop = stop or self._reason_to_end(session)
            if self._run_led is None:
                self._crew.halt()
            else:
                stop = self._conclude_led(session, self._run_led, stop)
        if stop is not None:
            raise stop
        if self._run_led is None and not self._refused:
            pytest.exit(NO_WORKER, returncode=pytest.ExitCode.TESTS_FAILED)
        return True

    @contextmanager
    def _looking_after(self) -> Iterator[None]:
        done = threading.Event()

        def look() -> None:
            while not done.wait(LOOK_SECONDS):
                self._safely(self._crew.look_after)
                self._ask_for_turn()

        def welcome() -> None:
            while not done.wait(LOOK_SECONDS):
                self._safely(self._crew.welcome)

        threads = [
            threading.Thread(target=work, name=f"resilience-{work.__name__}", daemon=True)
            for work in (look, welcome)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()

    def _ask_for_turn(self) -> None:
        if not self._turn_asked.is_set() and self._nodes:
            self._turn_asked.set()
            StandingScheduler.ask_for_turn(next(iter(self._nodes.values())))

    def _take_turn(self) -> None:
        """On the main thread, within xdist's loop, about four times a second."""
        self._turn_asked.clear()
        session = self._session()
        reason = self._reason_to_end(session)
        if reason is not None:
            raise reason
        if self._run_led is None and self._crew.roster.complete and not self._refused:
            self._start_led()
        self._console.tick()
        if self._run_led is not None:
            self._run_led.tell_news()
            self._obey_maxfail(session, self._run_led)
        self._signals.insist()

    def _obey_maxfail(self, session: pytest.Session, led: CrewRun) -> None:
        """End the soak as -x and --maxfail ask for, which count failures outside faults."""
        most, failures = self._config.option.maxfail, led.failures_outside
        if most and failures >= most and not led.broken:
            raise session.Failed(enough_failures(failures))

    def _reason_to_end(self, session: pytest.Session) -> BaseException | None:
        """Return what ends the soak before its time: what a worker said, or what went wrong here."""
        if isinstance(self._trouble, ResilienceError):
            return _ended(f"the soak cannot go on: {self._trouble}")
        if self._trouble is not None:
            return self._trouble
        ending = self._crew.ending
        if ending is None or self._refused:
            return None
        match ending.how:
            case messages.USAGE:
                return pytest.UsageError(ending.text)
            case messages.DECLARATION:
                self._refuse(ending.text)
                return None
            case messages.COLLECTION:
                return session.Interrupted(ending.text)
            case messages.EXIT:
                return pytest.exit.Exception(ending.text, None if ending.code < 0 else ending.code)
            case messages.FAILED:
                return session.Failed(ending.text)
            case messages.BROKEN:
                return _ended(f"the soak cannot go on: {ending.text}")
        return KeyboardInterrupt(ending.text)

    def _refuse(self, text: str) -> None:
        """Show the report of a fixture that failed before the soak could begin."""
        self._refused = True
        report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(text))
        self._config.hook.pytest_runtest_logreport(report=report)
        self._crew.halt()

    def _start_led(self) -> None:
        """Begin the run; it is known before its workers begin, so that an interrupt finds it."""
        tests = [SoakTest(test) for test in self._places]
        self._signals.hold()  # a run that has a folder gets a report
        led = self._start(
            lambda setup: CrewRun(self._crew, tests, setup), self._clock, self._console, self._news
        )
        self._run_led = led
        self._console.look = led.now
        self._signals.listen()
        led.start()

    def _conclude_led(
        self, session: pytest.Session, led: CrewRun, stop: BaseException | None
    ) -> BaseException | None:
        """End the run and report it; return what is to be raised."""
        ending = self._ending = Ending(
            led,
            self._signals,
            self._console,
            partial(self._conclude, session, led.folder, self._news),
            halt=(lambda: led.stop(interrupted=stop is not None),),
            interruption=stop,
        )
        try:
            ending.run()
        except ResilienceError as broken:
            return _ended(f"the soak cannot go on: {broken}")
        return ending.wish()

    def _broken_elsewhere(self) -> Mapping[str, str]:
        return {"teardown": "\n".join(self._crew.teardowns)} if self._crew.teardowns else {}

    def _locations(self, session: pytest.Session) -> Locations:
        return self._places

    def _session(self) -> pytest.Session:
        return self._config.pluginmanager.get_plugin("session")  # type: ignore[return-value]


def _ended(why: str) -> BaseException:
    return pytest.exit.Exception(why, pytest.ExitCode.TESTS_FAILED)
