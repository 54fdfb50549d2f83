"""A launcher driven without a dispatcher: what it says of its launches, and nothing that a dispatcher would do
about it. The program is drive.c."""

import itertools
import json
import os
import subprocess

from cluster import USER_ID
from harness import BUILD, HATO

DRIVE = BUILD / "tests/cluster/drive"
numbers = itertools.count(1)


class Driver:
    """The host of launchers in a process of its own; polls come soon unless told otherwise."""

    def __init__(self, test, launcher, first_poll_ms=200, interval_ms=300, words=(), **more):
        self.test, self.launcher, self.read, self.events = test, launcher, 0, []
        self.running = test.start(*words, DRIVE, HATO, first_poll_ms, interval_ms, stdin=subprocess.PIPE, **more)
        test.addCleanup(self.close)

    def say(self, **words):
        self.running.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.running.process.stdin.flush()

    def all(self):
        """Every event so far."""
        text = (self.running.folder / "stdout").read_bytes()
        end = text.rfind(b"\n") + 1
        self.events += [json.loads(line) for line in text[self.read:end].splitlines()]
        self.read = max(self.read, end)
        return self.events

    def launch(self, argv, count=1, options=(), **more):
        return Launched(self, argv, count, list(options), more)

    def kill(self):
        """The host and its launchers' processes, at once and without a word, as a dispatcher that was killed."""
        for pid in [self.running.pid, *self.host_pids()]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass  # a launcher's process ends by itself with its host
        self.running.process.wait()

    def host_pids(self):
        return self.test.below("launcher-host", of=self.running.pid)

    def close(self):
        """It ends; launches live on, but for those that were cancelled."""
        if not self.running.process.stdin.closed:
            self.running.process.stdin.close()
        return self.running.wait(60)


class Launched:
    def __init__(self, driver, argv, count, options, more):
        self.driver, self.test, self.id, self.count = driver, driver.test, next(numbers), count
        # The driver's pid would do, but for one that adopts what another launched.
        self.tag = more.pop("tag", f"test-{os.getpid()}-{self.id}")
        logs = self.test.dir / "logs"
        if not logs.exists():
            logs.mkdir()
            if self.test.user != "root":
                os.chown(logs, USER_ID, USER_ID)
        self.words = {"id": self.id, "launcher": driver.launcher, "argv": [str(word) for word in argv], "count": count,
                      "options": options, "tag": self.tag, "log_dir": str(logs), **more}
        driver.say(**{"do": "launch", **self.words})

    def events(self, kind=None):
        return [e for e in self.driver.all() if e["id"] == self.id and kind in (None, e["event"])]

    def members(self):
        """What was said last of each: {number: event}."""
        return {e["number"]: e for e in self.events("member")}

    def submitted(self, seconds=40):
        def look():
            for e in self.events():
                if e["event"] in ("failed", "refused"):
                    self.test.fail(f"not submitted: {e['text']}")
                if e["event"] == "submitted":
                    return e
        return self.test.wait_for(look, seconds, f"launch {self.id} is submitted")

    def failed(self, seconds=40):
        """The words with which it was refused."""
        look = lambda: self.events("failed") + self.events("refused") or self.events("submitted")
        found = self.test.wait_for(look, seconds, f"launch {self.id} fails")[0]
        self.test.assertIn(found["event"], ("failed", "refused"), found)
        return found

    def until(self, state, seconds=40, who=None, **more):
        """The members, when all (or those of `who`) are in this state with these values."""
        wanted = {"state": state, **more}

        def look():
            seen = self.members()
            those = [seen.get(i) for i in (who if who is not None else range(self.count))]
            return all(m and all(m[k] == v for k, v in wanted.items()) for m in those) and seen
        try:
            return self.test.wait_for(look, seconds, f"members of launch {self.id} are {wanted}")
        except AssertionError as problem:
            raise AssertionError(f"{problem}\nevents: {self.driver.all()[-12:]}") from None

    def over(self, seconds=40):
        self.test.wait_for(lambda: self.events("ended") or self.events("failed"), seconds, f"launch {self.id} is over")
        return self.members()

    def cancel(self, member=None):
        more = {} if member is None else {"member": member}
        self.driver.say(do="cancel", id=self.id, **more)

    def adopted_by(self, driver, record=None):
        """The same launch, taken up by another host; by its tag unless the record is given."""
        again = Launched.__new__(Launched)
        again.driver, again.test, again.id, again.count, again.tag = driver, self.test, self.id, self.count, self.tag
        again.words = self.words
        driver.say(**{**self.words, "do": "adopt", **({"record": record} if record else {})})
        return again
