// "+=file": the lines of a file as words, and NAME=prefix+=file: the lines as values. Read next: words.h (the lines).
#include "config/parser.h"
#include "config/words.h"

namespace smx {

namespace {

std::string_view reason(FileText::Status status) {
  switch (status) {
    case FileText::Status::ok: return "";
    case FileText::Status::missing: return "there is no such file";
    case FileText::Status::unreadable: return "the file can't be read";
    case FileText::Status::is_directory: return "it is a directory, not a file";
    case FileText::Status::too_big: return "the file has more than 262144 bytes";
    case FileText::Status::no_memory: return "not enough memory for the options";
  }
  return "";
}

std::string_view folder_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == kNowhere ? std::string_view{} : first(path, slash + 1);
}

}  // namespace

// Next to the caller first, then in the current directory.
bool Parser::find_file(const Word& w, std::string_view path, FileText* text, std::string_view* found) {
  const std::string_view folder = frame_ == nullptr ? std::string_view{} : folder_of(frame_->path);
  text->status = FileText::Status::missing;
  if (++files_read_ > kMaxFilesRead) {
    fail(w, "more than 256 files are read");
    return false;
  }
  if (!folder.empty() && path[0] != '/') {
    *found = keep_text(folder, "", path);
    if (!no_memory_) *text = files_.read(*found, arena_);
  }
  if (text->status == FileText::Status::missing && !no_memory_) {
    *found = keep_text(path);
    if (!no_memory_) *text = files_.read(*found, arena_);
  }
  if (text->status == FileText::Status::no_memory) no_memory_ = true;
  if (no_memory_ || text->status == FileText::Status::ok) return !no_memory_;
  if (outer_ != nullptr && frame_ == nullptr) {
    missing_file_ = path;  // of a proxy: it is looked at again when the proxy is asked for; until then it is refused
  } else {
    fail_with(kExitNoInput, w, "'%': %", {path, reason(text->status)});
  }
  return false;
}

// `spec`: path["?" label], "file:" in front or braces around the path, or "?" label. `name_and_prefix`: empty, or
// "NAME=prefix" for NAME=prefix+=file.
void Parser::include(const Word& w, std::string_view spec, std::string_view name_and_prefix) {
  if constexpr (!kHasFiles) return (void)left_out(w, "files");
  Frame frame;
  std::string_view path = trim(spec);
  const size_t mark = path.rfind('?');
  if (mark != kNowhere) {
    frame.label = skip(path, mark + 1);
    path = first(path, mark);
    if (frame.label.empty()) return fail(w, "a label is missing behind '?'");
  }
  if (starts_with(path, "file:")) path = skip(path, 5);
  if (path.size() > 2 && path.front() == '{' && path.back() == '}') path = first(skip(path, 1), path.size() - 2);
  frame.part_only = path.empty() && mark != kNowhere && frame_ != nullptr;
  if (place_of(path, "://") != kNowhere) return fail(w, "'%': only files can be read, no URL; expected +=file", path);
  if (ends_with(path, ".cdh")) return fail(w, "'%': encrypted files are not supported", path);
  if (path.empty() && !frame.part_only) return fail(w, "a file is missing; expected +=file");
  FileText text;
  if (frame.part_only) {
    frame.path = frame_->path;
    if (++files_read_ > kMaxFilesRead) return fail(w, "more than 256 files are read");
    text = files_.read(frame.path, arena_);
    if (text.status != FileText::Status::ok) {
      return fail_with(kExitNoInput, w, "'%': %", {frame.path, reason(text.status)});
    }
  } else if (!find_file(w, path, &text, &frame.path)) {
    return;
  }
  frame.depth = frame_ == nullptr ? 1 : frame_->depth + 1;
  for (const Frame* f = frame_; f != nullptr; f = f->caller) {
    if (f->path == frame.path && f->label == frame.label && (!frame.part_only || f->part_only)) {
      return fail(w, "'%' is read inside of itself: a loop", frame.path);
    }
  }
  if (frame.depth > kMaxFileDepth) return fail(w, "more than 8 files inside of each other");
  frame.caller = frame_;
  frame_ = &frame;
  read_lines(w, frame, text.text, name_and_prefix);
  frame_ = frame.caller;
}

// Walks over the lines; those between CASE and ESAC count if the label is theirs.
void Parser::read_lines(const Word& w, const Frame& frame, std::string_view text, std::string_view name_and_prefix) {
  LineReader lines(text, !name_and_prefix.empty());
  if (!lines.open(arena_)) {
    no_memory_ = true;
    return;
  }
  Line line;
  Word here = w;
  here.in_file = true;
  here.origin.file = frame.path;
  bool in_case = false;
  bool is_mine = false;
  bool found = false;
  Origin opened;
  while (lines.next(&line) && !no_memory_) {
    here.text = here.origin.word = line.text;
    here.origin.line = line.number;
    const bool is_case = starts_with(line.text, "CASE") && (line.text.size() == 4 || is_blank(line.text[4]));
    if (is_case) {
      const std::string_view label = trim(skip(line.text, 4));
      if (label.empty()) fail(here, "a label is missing behind CASE");
      if (in_case) fail(here, "CASE inside of another CASE; an ESAC is missing before it");
      in_case = true;
      is_mine = !frame.label.empty() && label == frame.label;
      found = found || is_mine;
      opened = here.origin;
    } else if (line.text == "ESAC") {
      if (!in_case) fail(here, "ESAC without CASE before it");
      in_case = false;
    } else if (in_case ? is_mine : !frame.part_only) {
      one_line(frame, line, name_and_prefix);
    }
  }
  here.origin = opened;
  if (in_case) fail(here, "CASE without ESAC behind it");
  if (frame.label.empty() || found) return;
  here.origin = w.origin;
  fail(here, "'%' has no CASE %", frame.path, frame.label);
}

void Parser::one_line(const Frame& frame, const Line& line, std::string_view name_and_prefix) {
  Word w;
  w.in_file = true;
  w.text = name_and_prefix.empty() ? line.text : keep_text(name_and_prefix, "", line.text);
  if (no_memory_) return;
  w.origin.file = frame.path;
  w.origin.line = line.number;
  w.origin.word = w.text;
  switch (line.fault) {
    case LineFault::none: break;
    case LineFault::open_quote: return fail(w, "a quote is not closed on its line");
    case LineFault::nul: return fail(w, "a NUL character; this is no text file");
    case LineFault::blank_at_equals: return fail(w, "a blank at '='; write NAME=value without blanks");
    case LineFault::two_options:
      return fail(w, "'%' is a second option; one a line, or quotes around a value with blanks", line.fault_at);
  }
  word(w);
}

}  // namespace smx
