#include <algorithm>
#include <utility>

#include "net/http2_connection.h"
#include "net/http2_server.h"
#include "net/http2_worker.h"

namespace leadsman::net {
namespace {

constexpr size_t kKeptBuffer =
    64 << 10;  // what a stream that waits to be used again may hold on to
constexpr size_t kBelievedAtOnce = 256 << 10;

void ClearKeepingSome(std::string& text) {
  if (text.capacity() > kKeptBuffer) {
    std::string().swap(text);
  } else {
    text.clear();
  }
}

}  // namespace

std::string_view Http2Stream::Header(std::string_view name) const {
  for (const Field& field : fields_) {
    if (field.name == name) return field.value;
  }
  return {};
}

void Http2Stream::ExpectBody(size_t bytes) {
  expected_ = bytes;
  // A claimed size is not taken at its word: beyond a modest one, memory grows as bytes arrive.
  if (taken_ == 0) body_.reserve(std::min(bytes, kBelievedAtOnce));
  if (connection_ != nullptr && body().size() <= expected_) connection_->StreamTook(*this, 0);
}

void Http2Stream::Take(size_t bytes) {
  taken_ += bytes;
  expected_ = 0;
  if (taken_ == body_.size()) {
    ClearKeepingSome(body_);
    taken_ = 0;
  }
  if (connection_ != nullptr) connection_->StreamTook(*this, bytes);
}

bool Http2Stream::crowded() const { return connection_ != nullptr && connection_->crowded(); }

void Http2Stream::CallAgain() {
  if (connection_ != nullptr) connection_->MakeReady(*this);
}

void Http2Stream::SendHead(std::span<const Field> fields) {
  if (connection_ == nullptr || head_sent_) return;
  head_sent_ = true;
  connection_->SubmitHead(*this, fields, false);
}

void Http2Stream::SendBody(std::string_view bytes) {
  if (connection_ == nullptr || trailers_given_) return;
  if (unsent() == 0) last_progress_ = worker_->Now();
  // What has gone makes room, also when a slow client never lets all of it go. Moved when that is less.
  if (answer_sent_ > kKeptBuffer && answer_sent_ > unsent()) {
    answer_.erase(0, std::exchange(answer_sent_, 0));
  }
  answer_.append(bytes);
  connection_->StreamGave(bytes.size());
  connection_->ResumeBody(*this);
}

void Http2Stream::SendTrailers(std::span<const Field> fields) {
  if (connection_ == nullptr || trailers_given_) return;
  trailers_given_ = true;
  if (!head_sent_) {
    head_sent_ = true;
    connection_->StreamSent(unsent());  // it cannot be any more
    answer_.clear();
    answer_sent_ = 0;
    connection_->SubmitHead(*this, fields, true);
    return;
  }
  for (const Field& field : fields) {
    trailers_.emplace_back(field.name, field.value);
    trailer_index_.push_back(field.index);
  }
  connection_->ResumeBody(*this);
}

void Http2Stream::Reset(uint32_t http2_error_code) {
  if (connection_ != nullptr) connection_->ResetStream(*this, http2_error_code);
}

bool Http2Stream::Post(std::function<void(Http2Stream&)> work) {
  return worker_->Post(shared_from_this(), std::move(work));
}

void Http2Stream::Clear() {
  head_text_.clear();
  raw_fields_.clear();
  fields_.clear();
  method_ = path_ = {};
  received_ = {};
  ClearKeepingSome(body_);
  taken_ = expected_ = withheld_ = wire_body_bytes_ = 0;
  half_closed_ = refused_ = head_too_large_ = ready_ = drop_state_ = reset_by_client_ = false;
  ClearKeepingSome(answer_);
  answer_sent_ = 0;
  head_sent_ = deferred_ = tell_when_sent_ = trailers_given_ = end_sent_ = false;
  trailers_.clear();
  trailer_index_.clear();
  alarm_.reset();
  patient = false;
}

}  // namespace leadsman::net
