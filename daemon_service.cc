// Read next: daemon_service.h.
#include "daemon_service.h"

#include "core/io/notify.h"

namespace smx {

namespace {
constexpr Duration kPause = seconds(1);  // links that come and go are not worth more lines than that
}

void Service::start(Time now) {
  sessions_.add_opener(*this);
  sessions_.add_watcher(*this);
  tell_ready(now);
  tell_status();
  if (watchdog_interval() > seconds(0)) on_timer(watchdog_, now);
}

void Service::tell_ready(Time now) {
  ready_ = notify_ready();
  if (!ready_) look_soon(now);
}

void Service::end(const char* why) {
  notify_stopping();
  Text<100> text("ending: ");
  notify_status(text.add(why).text());
  reactor_.timers().stop(status_);
  links_ = kEnding;
}

void Service::on_timer(Timer& timer, Time now) {
  if (&timer == &watchdog_) {
    notify_alive();
    reactor_.timers().start(watchdog_, now + watchdog_interval());
  }
  if (!ready_ && links_ != kEnding) tell_ready(now);
  tell_status();
}

void Service::on_link_closed(const Link& link, Time now) {
  (void)link;
  look_soon(now);
}

void Service::on_room(Time now) { look_soon(now); }

void Service::look_soon(Time now) {
  if (links_ != kEnding && !status_.running()) reactor_.timers().start(status_, now + kPause);
}

void Service::tell_status() {
  if (links_ == kEnding) return;
  uint32_t links = 0;
  for (uint32_t i = 0; i < sessions_.count(); ++i) links += sessions_.at(i).up();
  const uint32_t channels = sessions_.channels();
  if (told_ && links == links_ && channels == channels_) return;
  told_ = true;
  links_ = links;
  channels_ = channels;
  Text<80> text;
  if (links == 0) text.add("no link up");
  else text.add_u(links).add(links == 1 ? " link up" : " links up");
  notify_status(text.add(", ").add_u(channels).add(channels == 1 ? " channel" : " channels").text());
}

}  // namespace smx
