"""git: clone, fetch and push, by git:// and by ssh."""
from place import Ports, accepts, noise, run, sure, wait_for
from program import Program, Service, item
from programs.ssh import Sshd

NAME = {'GIT_AUTHOR_NAME': 'Tester', 'GIT_AUTHOR_EMAIL': 'tester@localhost', 'GIT_COMMITTER_NAME': 'Tester', 'GIT_COMMITTER_EMAIL': 'tester@localhost',
        'GIT_AUTHOR_DATE': '2020-01-01T00:00:00Z', 'GIT_COMMITTER_DATE': '2020-01-01T00:00:00Z', 'GIT_CONFIG_NOSYSTEM': '1', 'GIT_TERMINAL_PROMPT': '0'}
COMMITS = 200


class Git(Program):
    name, needs = 'git', ('git', 'git-daemon', 'ssh', 'sshd')

    def start(self):
        self.place.write('home/.gitconfig', '[safe]\n directory = *\n[gc]\n auto = 0\n[maintenance]\n auto = false\n[init]\n defaultBranch = main\n')
        self.env = {**NAME, 'HOME': self.place / 'home'}
        self.sshd = Sshd(self.place)
        self.base = self.place.fresh('base')
        self.git('init', '-q', '--bare', self.place / 'base/it')
        stream = b''.join(b'commit refs/heads/main\nmark :%d\ncommitter Tester <tester@localhost> %d +0000\ndata 6\nchange\nM 644 inline file%d\ndata %d\n%s\n'
                          % (i + 1, 1577836800 + i, i % 40, 20000, noise(i, 20000)) for i in range(COMMITS))
        self.git('-C', self.place / 'base/it', 'fast-import', '--quiet', input=stream)
        port = Ports.free()
        self.place.start('git-daemon', ['git', 'daemon', '--reuseaddr', '--listen=127.0.0.1', f'--port={port}', f'--base-path={self.base}', '--export-all',
                                        '--enable=receive-pack', '--informative-errors'], env=self.env)
        wait_for(lambda: accepts(port), 'git daemon')
        return {'git': Service(port), 'ssh': Service(self.sshd.port)}

    def git(self, *words, **more):
        return run(['git', *words], env={**self.env, **more.pop('env', {})}, **more)

    def by(self, way, kind):
        """URL of the repository, and what git must know for it"""
        if kind == 'git':
            return f'git://127.0.0.1:{way.port("git")}/it', {}
        return f'ssh://127.0.0.1:{way.port("ssh")}{self.base}/it', {'GIT_SSH_COMMAND': self.sshd.command(way.port('ssh'))}

    def clone(self, way, kind, *words):
        folder = self.place.fresh('clone')
        url, env = self.by(way, kind)
        self.git('clone', '-q', *words, url, folder, env=env)
        self.git('-C', folder, 'fsck', '--full', '--strict')
        return self.git('-C', folder, 'rev-parse', 'HEAD^{tree}').text, self.git('-C', folder, 'rev-list', '--count', '--all').text

    def pushes(self, way, kind):
        """a push, a fetch of what is new elsewhere, the same again (nothing to do), and the branch goes"""
        self.clone(way, kind)
        folder, (url, env) = self.place / 'clone', self.by(way, kind)
        self.place.write('clone/new', noise(77, 500000))
        self.git('-C', folder, 'add', 'new')
        self.git('-C', folder, 'commit', '-q', '-m', 'new')
        self.git('-C', folder, 'push', '-q', 'origin', 'HEAD:refs/heads/topic', env=env)
        other = self.place.fresh('other')
        self.git('init', '-q', other)
        self.git('-C', other, 'fetch', '-q', url, 'topic', env=env)
        there = self.git('-C', other, 'rev-parse', 'FETCH_HEAD').text
        sure(there == self.git('-C', folder, 'rev-parse', 'HEAD').text, 'not what was pushed')
        again = self.git('-C', folder, 'push', '--porcelain', 'origin', 'HEAD:refs/heads/topic', env=env).text.splitlines()[1:]
        self.git('-C', folder, 'push', '-q', '--delete', 'origin', 'topic', env=env)
        return there, again, self.git('ls-remote', url, env=env).text

    @item(f'clone by git://, {COMMITS} commits, 4 MiB', unit='s')
    def clone_git(self, way):
        return self.clone(way, 'git')

    @item('clone by ssh', unit='s')
    def clone_ssh(self, way):
        return self.clone(way, 'ssh')

    @item('git://: push, fetch elsewhere, push of nothing, delete')
    def push_git(self, way):
        return self.pushes(way, 'git')

    @item('ssh: the same')
    def push_ssh(self, way):
        return self.pushes(way, 'ssh')

    @item('git://: a shallow clone, made deeper; nothing there of that name')
    def shallow(self, way):
        first = self.clone(way, 'git', '--depth', '3')
        self.git('-C', self.place / 'clone', 'fetch', '-q', '--unshallow')
        whole = self.git('-C', self.place / 'clone', 'rev-list', '--count', 'HEAD').text
        url = self.by(way, 'git')[0] + '-none'
        none = self.git('ls-remote', url, status=128).err.splitlines()[0]
        return first, whole, none


PROGRAMS = [Git]
