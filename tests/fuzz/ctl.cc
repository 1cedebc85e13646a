// sockmuxctl and a daemon that answers anything. Input: a byte that says which command is run, then answers, in order, that end with
// NUL; "+" in front of one stands for a right frame around it. Whatever it is, no byte that is not printable gets to the terminal.
// Read next: tools/ctl/ask.cc, said.h.
#include "tools/ctl/ctl.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/control/unix_socket.h"
#include "tests/fuzz/socket.h"
#include "tests/fuzz/targets.h"
#include "tools/ctl/json.h"
#include "tools/ctl/sample.h"

namespace fuzz {

namespace {

// Answers, in a thread of its own, since who asks blocks.
class Answerer {
 public:
  Answerer() {
    ::signal(SIGPIPE, SIG_IGN);
    path_ = socket_path("ctl", getpid());
    int error = 0;
    listener_ = smx::listen_unix(path_.c_str(), 16, &error);
    MUST(error == 0);
    const int flags = fcntl(listener_.get(), F_GETFL);
    MUST(fcntl(listener_.get(), F_SETFL, flags & ~O_NONBLOCK) == 0);
    pthread_t thread;
    MUST(pthread_create(&thread, nullptr, [](void* a) -> void* { static_cast<Answerer*>(a)->serve();
      return nullptr;
    }, this) == 0);
  }
  ~Answerer() { unlink(path_.c_str()); }
  const char* path() const { return path_.c_str(); }
  // Before anybody asks: connecting and reading order what the two threads do.
  void set(std::vector<Data> answers) {
    pthread_mutex_lock(&mutex_);
    answers_ = std::move(answers);
    next_ = 0;
    pthread_mutex_unlock(&mutex_);
  }

 private:
  void serve() {
    for (;;) {
      const int fd = accept(listener_.get(), nullptr, nullptr);
      if (fd < 0) continue;
      char ask[512];
      (void)!::read(fd, ask, sizeof ask);
      pthread_mutex_lock(&mutex_);
      const Data answer = next_ < answers_.size() ? answers_[next_++] : Data();
      pthread_mutex_unlock(&mutex_);
      for (size_t at = 0; at < answer.size();) {
        const ssize_t n = ::write(fd, answer.data() + at, answer.size() - at);
        if (n <= 0) break;
        at += static_cast<size_t>(n);
      }
      ::close(fd);
    }
  }
  std::string path_;
  smx::Fd listener_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  std::vector<Data> answers_;
  size_t next_ = 0;
};

void look_at(const smx::ctl::Sample& s) {
  for (size_t i = 0; i < s.count(); ++i) {
    const smx::ctl::Item& item = s.at(i);
    (void)item.rate();
    (void)item.bytes();
    MUST(item.place < s.all());
  }
  MUST(s.count() <= s.all());
}

}  // namespace

void ctl(smx::Bytes input) {
  static Answerer* const answerer = new Answerer;
  Input in(input);
  const uint8_t how = in.u8();
  std::vector<Data> answers;
  while (!in.empty() && answers.size() < 8) {
    Data a = in.until(0);
    if (!a.empty() && a[0] == '+') a = "1 ok\n" + a.substr(1) + "\nend\n";
    answers.push_back(a);
  }
  answerer->set(answers);
  smx::ctl::Words words;
  words.socket = answerer->path();
  words.json = (how & 0x80) != 0;
  words.count = 1;
  switch (how % 9) {
    case 0: (void)smx::ctl::status(words); break;
    case 1: (void)smx::ctl::peers(words); break;
    case 2: (void)smx::ctl::channels(words); break;
    case 3: (void)smx::ctl::metrics(words); break;
    case 4: (void)smx::ctl::reload(words); break;
    case 5: (void)smx::ctl::version(words); break;
    case 6:
      words.word[0] = "kick";
      words.word[1] = (how & 0x40) != 0 ? "channel" : "branch1";
      words.word[2] = "1.17.3";
      words.count = (how & 0x40) != 0 ? 3 : 2;
      (void)smx::ctl::kick(words);
      break;
    case 7:
      words.word[0] = "log";
      words.word[1] = "debug";
      words.count = 2;
      (void)smx::ctl::log_level(words);
      break;
    case 8: {
      smx::ctl::Sample before, now;
      const smx::ctl::What what = (how & 0x40) != 0 ? smx::ctl::What::peers : smx::ctl::What::channels;
      if (before.take(what, words.socket) != 0) break;
      look_at(before);
      if (now.take(what, words.socket) != 0) break;
      now.set_rates(before);
      for (const smx::ctl::Order o : {smx::ctl::Order::rate, smx::ctl::Order::bytes, smx::ctl::Order::name, smx::ctl::Order::age, smx::ctl::Order::idle}) {
        now.arrange(o, (how & 0x20) != 0, "");
        MUST(now.count() == now.all());
        now.arrange(o, false, "1");
        look_at(now);
      }
      break;
    }
  }
}

}  // namespace fuzz
