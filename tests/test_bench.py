#!/usr/bin/env python3
"""The arithmetic of muxbench's goals, and what it reads of other programs. Run by tests/test_docs.sh; seconds."""
import importlib.machinery, importlib.util, json, os, sys, unittest

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tools', 'bench')
sys.path.insert(0, BENCH)
sys.dont_write_bytecode = True
import goals, own


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def met(name, results, mine=None):
    return {g.name: g.met for g in goals.all_goals(results, mine or {})}[name]


class Goals(unittest.TestCase):
    def test_ratio_to_the_best_rival(self):
        rows = {'ours': {'mib_per_s': 2000}, 'smux': {'mib_per_s': 1000}, 'openssh': {'mib_per_s': 400}, 'haproxy2': {'mib_per_s': 1700}}
        self.assertIs(met('bulk1 >= 2 x the best multiplexer', {'bulk1': rows}), True)
        self.assertIs(met('bulk1 >= 1.2 x haproxy2', {'bulk1': rows}), False)
        rows['yamux'] = {'mib_per_s': 1001}
        self.assertIs(met('bulk1 >= 2 x the best multiplexer', {'bulk1': rows}), False)

    def test_less_is_better(self):
        rows = {'ours': {'p50_us': 34}, 'direct': {'p50_us': 10}, 'haproxy2': {'p50_us': 35}}
        self.assertIs(met('ping p50 <= 3.5 x direct', {'ping': rows}), True)
        self.assertIs(met('ping p50 below every tunnel', {'ping': rows}), True)
        rows['socat2'] = {'p50_us': 33}
        self.assertIs(met('ping p50 below every tunnel', {'ping': rows}), False)
        rows['ours']['p50_us'] = 36
        self.assertIs(met('ping p50 <= 3.5 x direct', {'ping': rows}), False)

    def test_what_is_missing_is_neither(self):
        for goal in goals.all_goals({}, {}):
            self.assertIsNone(goal.met, goal.name)
            self.assertIn('not measured', goal.line())
        rows = {'ours': {'mib_per_s': 2000}, 'haproxy2': {}}
        self.assertIsNone(met('bulk1 >= 1.2 x haproxy2', {'bulk1': rows}))

    def test_bounds(self):
        self.assertIs(met('idle: wake-ups a minute beyond keep-alive: 0', {}, {'wakeups': 0}), True)
        self.assertIs(met('idle: wake-ups a minute beyond keep-alive: 0', {}, {'wakeups': 6}), False)
        self.assertIs(met('channels opened a second >= 5,000', {}, {'opened': 4999}), False)
        self.assertIs(met('pingwan p50 <= 60 ms', {'pingwan': {'ours': {'p50_us': 59000.0}}}), True)
        self.assertIs(met('pingwan p50 <= 60 ms', {'pingwan': {'ours': {'p50_us': 61000.0}}}), False)

    def test_calls_of_strace(self):
        text = ('% time     seconds  usecs/call     calls    errors syscall\n'
                '------ ----------- ----------- --------- --------- ----------------\n'
                ' 60.00    0.100000          10      1000           read\n'
                '------ ----------- ----------- --------- --------- ----------------\n'
                '100.00    0.150000          10      1500        7 total\n')
        self.assertEqual(own.calls_of(text), 1500)
        self.assertEqual(own.calls_of(text.replace(' 7 total', '   total')), 1500)
        old = text.replace('0.150000          10 ', '0.150000             ')
        self.assertEqual(own.calls_of(old), 1500)
        self.assertEqual(own.calls_of(old.replace(' 7 total', '   total')), 1500)
        self.assertIsNone(own.calls_of(''))

    def test_contenders_say_what_they_need(self):
        specs = json.load(open(os.path.join(BENCH, 'contenders.json')))
        bench = load('muxbench')
        self.assertEqual(bench.missing({'needs': ['sh', '/']}), None)
        self.assertEqual(bench.missing({'needs': ['sh', 'no-such-program']}), 'no-such-program')
        self.assertEqual(bench.missing({'needs': ['/no/such/folder']}), '/no/such/folder')
        for name, spec in specs.items():
            self.assertTrue(name in ('direct', 'ours', 'oursudp', 'secure') or spec.get('needs'), name)

    def test_table_of_many(self):
        lines = list(load('muxmany').table({'10': {'a': 2.0, 'b': None}, '50000': {'a': 3.0, 'b': 4.0}}))
        self.assertEqual(len(lines), 3)
        self.assertIn('1.50x', lines[1])
        self.assertNotIn('x', lines[2])


if __name__ == '__main__':
    unittest.main()
