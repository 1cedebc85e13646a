// How a message is put together. Read next: report.h.
#include "config/report.h"

#include "config/scan.h"

namespace smx {

namespace {

void fill(Problem* p, int status, const Origin& origin, const char* words, Views views) {
  p->status = status;
  p->origin = origin;
  p->text.clear();
  if (!origin.file.empty()) p->text.add_printable(origin.file).add(':').add_u(origin.line).add(": ");
  if (!origin.word.empty()) {
    p->text.add_printable(first(origin.word, kShownWordText));
    if (origin.word.size() > kShownWordText) p->text.add("...");
    p->text.add(": ");
  }
  p->text.fill(words, views);
}

}  // namespace

void Report::error(int status, const Origin& origin, const char* words, Views views) {
  if (error_count_ < kMaxErrors) fill(&errors_[error_count_], status, origin, words, views);
  ++error_count_;
}

void Report::warn(const Origin& origin, const char* words, Views views) {
  if (warning_count_ < kMaxWarnings) fill(&warnings_[warning_count_], 0, origin, words, views);
  ++warning_count_;
}

void Report::ignore(std::string_view name) {
  for (size_t i = 0; i < ignored_count_; ++i) {
    if (ignored_[i] == name) return;
  }
  if (ignored_count_ < kMaxIgnored) ignored_[ignored_count_++] = name;
}

}  // namespace smx
