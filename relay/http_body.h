// The body of an HTTP/1 message on its way from one pipe to another: by length, in chunks, or until the end.
//
// Invariant: not one byte behind the body is taken. Chunks are made anew from what was understood: their extensions and
// trailers, which a proxy may drop (RFC 9112, 7.1.1 and 7.1.2), go no further, so both ends read the same thing.
// Read next: http_body.cc, http.h.
#ifndef SOCKMUX_RELAY_HTTP_BODY_H
#define SOCKMUX_RELAY_HTTP_BODY_H

#include "relay/dialogue.h"

namespace smx {

class HttpBody {
 public:
  enum class Kind : uint8_t { none, length, chunked, until_end };
  enum class State : uint8_t { going, whole, bad };

  // `plain`: chunks are taken out of their frames, for a client of HTTP/1.0.
  void begin(Kind kind, uint64_t length, bool plain);
  // Moves what can be moved. bad: the chunks are none.
  State move(Pipe& from, Pipe& to);
  State state() const { return state_; }
  Kind kind() const { return kind_; }

 private:
  // size CRLF data CRLF ... 0 CRLF trailers CRLF
  enum class At : uint8_t { size, extension, size_lf, data, data_cr, data_lf, trailer, trailer_lf };
  bool take(uint8_t byte);
  bool say_due(Pipe& to);
  void owe(std::string_view text);

  Kind kind_ = Kind::none;
  State state_ = State::whole;
  At at_ = At::size;
  bool plain_ = false;
  bool last_ = false;        // the last chunk and its trailers are read
  uint8_t due_size_ = 0;     // of the frame that is to be said before anything else
  char due_[20];
  uint64_t left_ = 0;        // of the body, or of the chunk
  int digits_ = 0;
  uint32_t extra_ = 0;       // bytes behind the size in this line, or of trailers, so far
  bool line_empty_ = true;   // trailer: nothing stands in this line yet
};

}  // namespace smx

#endif
