"""One loop for the whole script: sockets, timers, and answers of a worker thread for what blocks (programs that are asked).

Nothing in it waits but run(); a handler that blocks stops all traffic, so whatever asks a daemon goes through ask().
"""
import collections
import heapq
import itertools
import queue
import selectors
import socket
import threading
import time

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.timers, self.order = [], itertools.count()
        self.ending = False
        self.jobs, self.answers = queue.Queue(), collections.deque()
        self.bell, self.ring = socket.socketpair()
        self.bell.setblocking(False)
        self.watch(self.bell, READ, self.answered)
        threading.Thread(target=self.work, daemon=True).start()

    def watch(self, sock, events, handler):
        """What `sock` wants now; no events: it is forgotten."""
        try:
            key = self.selector.get_key(sock)
        except (KeyError, ValueError):
            if events:
                self.selector.register(sock, events, handler)
            return
        if not events:
            self.selector.unregister(sock)
        elif key.events != events or key.data != handler:
            self.selector.modify(sock, events, handler)

    def after(self, seconds, function):
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), function))

    def every(self, seconds, function, first=None):
        """Calls again and again, without drift."""
        state = {"at": time.monotonic() + (seconds if first is None else first)}

        def step():
            state["at"] = max(state["at"] + seconds, time.monotonic())
            heapq.heappush(self.timers, (state["at"], next(self.order), step))
            function()
        heapq.heappush(self.timers, (state["at"], next(self.order), step))

    def ask(self, work, answer):
        """`work` in the thread, then `answer` with what it has returned, in the loop."""
        self.jobs.put((work, answer))

    def work(self):
        while True:
            work, answer = self.jobs.get()
            try:
                result = work()
            except Exception as wrong:  # the loop is told, the thread lives on
                result = wrong
            self.answers.append((answer, result))
            try:
                self.ring.send(b"!")
            except OSError:
                return

    def answered(self, _events):
        try:
            self.bell.recv(4096)
        except BlockingIOError:
            pass
        while self.answers:
            answer, result = self.answers.popleft()
            answer(result)

    def run(self, until):
        """Until that time of time.monotonic(), or stop()."""
        while not self.ending:
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now and not self.ending:
                heapq.heappop(self.timers)[2]()
            if now >= until or self.ending:
                return
            wait = min(until, self.timers[0][0] if self.timers else until) - time.monotonic()
            for key, events in self.selector.select(max(0, wait)):
                # A handler before this one may have closed it.
                if self.selector.get_map().get(key.fd) is key:
                    key.data(events)

    def stop(self):
        self.ending = True
