// A reader of JSON (RFC 8259), for what sockmuxctl prints: stricter than most, and enough for it.
// Read next: ctl_status.cc.
#ifndef SOCKMUX_TESTS_E2E_JSON_H
#define SOCKMUX_TESTS_E2E_JSON_H

#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

namespace e2e {

struct Json {
  enum class Kind { null, boolean, number, text, list, object };
  Kind kind = Kind::null;
  bool is = false;
  int64_t number = 0;
  std::string text;
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  // nullptr: it has none of that name.
  const Json* get(const std::string& key) const {
    for (const auto& m : members)
      if (m.first == key) return &m.second;
    return nullptr;
  }
};

class JsonReader {
 public:
  explicit JsonReader(const std::string& text) : text_(text) {}
  // False: it is none, or something stands behind it.
  bool read(Json* out) {
    if (!value(out)) return false;
    blanks();
    return at_ == text_.size();
  }

 private:
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool word(const std::string& w) {
    if (text_.compare(at_, w.size(), w) != 0) return false;
    at_ += w.size();
    return true;
  }
  bool string(std::string* out) {
    if (!word("\"")) return false;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_] == '\\' && (++at_ == text_.size() || (text_[at_] != '"' && text_[at_] != '\\'))) return false;
      *out += text_[at_];
    }
    return word("\"");
  }
  bool value(Json* out) {
    blanks();
    if (word("null")) return true;
    out->kind = Json::Kind::boolean;
    if (word("true")) return out->is = true;
    if (word("false")) return true;
    out->kind = Json::Kind::text;
    if (at_ < text_.size() && text_[at_] == '"') return string(&out->text);
    out->kind = Json::Kind::number;
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') out->number = out->number * 10 + (text_[at_++] - '0');
    if (at_ > begin) return text_[begin] != '0' || at_ == begin + 1;
    if (word("[")) return list(out);
    return word("{") && object(out);
  }
  bool list(Json* out) {
    out->kind = Json::Kind::list;
    blanks();
    if (word("]")) return true;
    do {
      out->items.emplace_back();
      if (!value(&out->items.back())) return false;
      blanks();
    } while (word(","));
    return word("]");
  }
  bool object(Json* out) {
    out->kind = Json::Kind::object;
    blanks();
    if (word("}")) return true;
    do {
      std::string key;
      blanks();
      if (!string(&key) || out->get(key) != nullptr) return false;
      blanks();
      if (!word(":")) return false;
      Json v;
      if (!value(&v)) return false;
      out->members.emplace_back(key, v);
      blanks();
    } while (word(","));
    return word("}");
  }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace e2e

#endif
