#include "gateway/h2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"

namespace leadsman::gateway {
namespace {

constexpr uint32_t kStreamWindow = 256 << 10;
constexpr int32_t kConnectionWindow = 4 << 20;
constexpr uint32_t kMaxFrame = 64 << 10;
constexpr size_t kMaxHeld = 8 << 20;         // of one client, before it gets no more credit
constexpr size_t kHeadRoom = 16 << 10;       // in a head that is sent, for what is added to it
constexpr size_t kMaxQueuedFrames = 10'000;  // of one that makes us answer and does not read
constexpr size_t kMaxLate = 64 << 10;        // of a request that is answered already
constexpr int kMaxEmptyData = 1000;          // one after the other
constexpr uint64_t kResetBurst = 1000;       // of a client, and so many a second from then on
constexpr uint64_t kResetsPerSecond = 100;
constexpr size_t kKeptOut = 64 << 10;

nghttp2_nv ToNv(const H2Field& field) {
  nghttp2_nv nv;
  nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(field.name.data()));
  nv.namelen = field.name.size();
  nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(field.value.data()));
  nv.valuelen = field.value.size();
  nv.flags = field.secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
  return nv;
}

std::vector<nghttp2_nv> ToNvs(H2Fields fields) {
  std::vector<nghttp2_nv> nvs;
  nvs.reserve(fields.size());
  for (const H2Field& field : fields) nvs.push_back(ToNv(field));
  return nvs;
}

struct DeleteOption {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

}  // namespace

template <typename Call>
void H2Session::Tell(H2Stream& stream, const Call& call) {
  if (stream.user_ == nullptr) return;
  try {
    call(*stream.user_);
  } catch (const std::exception& e) {
    LOG_ERROR("a stream failed", {"server", "gateway"}, {"error", e.what()});
    stream.Reset(H2Error::kInternal);
  }
}

// What nghttp2 calls. C frames are above: nothing may be thrown out of here.
struct H2Callbacks {
  static H2Session& Self(void* user_data) { return *static_cast<H2Session*>(user_data); }
  static H2Stream* StreamOf(nghttp2_session* session, int32_t id) {
    return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int BeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    H2Session& self = Self(user_data);
    self.in_head_ = true;
    self.head_of_ = frame->hd.stream_id;
    self.too_large_ = false;
    self.head_text_.clear();
    self.raw_fields_.clear();
    if (!self.server_ || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    try {
      H2Stream& stream = self.Add(frame->hd.stream_id);
      return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, &stream);
    } catch (const std::exception&) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
  }

  static int Header(nghttp2_session* /*session*/, const nghttp2_frame* /*frame*/,
                    const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size,
                    uint8_t flags, void* user_data) {
    H2Session& self = Self(user_data);
    if (self.too_large_) return 0;
    if (self.head_text_.size() + name_size + value_size + 32 * (self.raw_fields_.size() + 1) >
        self.options_.max_header) {
      self.too_large_ = true;  // read over; told when all of it has come
      return 0;
    }
    try {
      H2Session::RawField raw;
      raw.name = static_cast<uint32_t>(self.head_text_.size());
      self.head_text_.append(reinterpret_cast<const char*>(name), name_size);
      raw.value = static_cast<uint32_t>(self.head_text_.size());
      self.head_text_.append(reinterpret_cast<const char*>(value), value_size);
      raw.end = static_cast<uint32_t>(self.head_text_.size());
      raw.secret = (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0;
      self.raw_fields_.push_back(raw);
    } catch (const std::exception&) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int FrameReceived(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    H2Session& self = Self(user_data);
    if (frame->hd.type == NGHTTP2_GOAWAY) self.closing_ = true;
    if (frame->hd.type == NGHTTP2_SETTINGS) self.greeted_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_DATA)
      self.CountData(frame->hd.length == frame->data.padlen && !end);
    if (frame->hd.type == NGHTTP2_HEADERS) self.in_head_ = false;
    H2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool late = self.server_ && stream->end_sent_;
    stream->end_come_ = stream->end_come_ || end;
    if (late) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) {
      self.EndHead(*stream, end);
    } else if (end) {
      self.Tell(*stream, [&](H2Stream::User& user) { user.OnEnd(*stream); });
    }
    return 0;
  }

  static int DataChunk(nghttp2_session* session, uint8_t /*flags*/, int32_t id, const uint8_t* data,
                       size_t size, void* user_data) {
    H2Session& self = Self(user_data);
    H2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) {
      nghttp2_session_consume(session, id, size);
      return 0;
    }
    self.CameData(*stream, {reinterpret_cast<const char*>(data), size});
    return 0;
  }

  static int StreamClose(nghttp2_session* session, int32_t id, uint32_t code, void* user_data) {
    H2Session& self = Self(user_data);
    // A head that is refused is read to its end, of which nothing is told.
    if (id == self.head_of_) self.in_head_ = false;
    if (StreamOf(session, id) != nullptr) self.Closed(id, code);
    return 0;
  }

  static int FrameNotSent(nghttp2_session* session, const nghttp2_frame* frame, int code,
                          void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      // A request that the server does not take any more: nghttp2 knows no stream of it.
      const bool refused = code == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED ||
                           code == NGHTTP2_ERR_SESSION_CLOSING ||
                           code == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
      Self(user_data).Closed(frame->hd.stream_id,
                             refused ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR);
    } else if (code != NGHTTP2_ERR_STREAM_CLOSED && code != NGHTTP2_ERR_STREAM_CLOSING) {
      // Without its head, or its end, the stream would wait for ever.
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
  }

  static int FrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* /*user_data*/) {
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    H2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->end_sent_ = true;
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session* session, int32_t id, uint8_t* out, size_t room,
                          uint32_t* flags, nghttp2_data_source* source, void* user_data) {
    auto& stream = *static_cast<H2Stream*>(source->ptr);
    const size_t size = std::min(room, stream.unsent());
    if (size > 0) {
      std::memcpy(out, stream.out_.data() + stream.out_at_, size);
      stream.out_at_ += size;
      if (stream.unsent() == 0) {
        stream.out_.clear();
        stream.out_at_ = 0;
        if (stream.out_.capacity() > kKeptOut) stream.out_.shrink_to_fit();
      }
      Self(user_data).Tell(stream, [&](H2Stream::User& user) { user.OnTaken(stream, size); });
    }
    if (stream.unsent() > 0) return static_cast<ssize_t>(size);
    if (!stream.end_given_) {
      if (size > 0) return static_cast<ssize_t>(size);
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream.trailers_.empty()) return static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    try {
      std::vector<nghttp2_nv> nvs;
      for (size_t i = 0; i < stream.trailers_.size(); ++i)
        nvs.push_back(ToNv(
            {stream.trailers_[i].first, stream.trailers_[i].second, stream.secret_trailers_[i]}));
      if (nghttp2_submit_trailer(session, id, nvs.data(), nvs.size()) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    } catch (const std::exception&) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return static_cast<ssize_t>(size);
  }

  static const nghttp2_session_callbacks* Table() {
    static const nghttp2_session_callbacks* table = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      nghttp2_session_callbacks_new(&callbacks);
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, BeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, Header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, FrameReceived);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, DataChunk);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, StreamClose);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, FrameSent);
      nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, FrameNotSent);
      return callbacks;
    }();
    return table;
  }
};

// Streams
// ---------------------------------------------------------------------------------------------------------------

void H2Stream::SendHead(H2Fields fields, bool end) {
  if (std::exchange(head_sent_, true)) return;
  nghttp2_data_provider provider;
  provider.source.ptr = this;
  provider.read_callback = H2Callbacks::ReadBody;
  end_given_ = end;
  const auto nvs = ToNvs(fields);
  nghttp2_submit_response(session_.session_, id_, nvs.data(), nvs.size(),
                          end ? nullptr : &provider);
  session_.owner_.OnOutput();
}

void H2Stream::SendInterim(H2Fields fields) {
  const auto nvs = ToNvs(fields);
  nghttp2_submit_headers(session_.session_, NGHTTP2_FLAG_NONE, id_, nullptr, nvs.data(), nvs.size(),
                         nullptr);
  session_.owner_.OnOutput();
}

void H2Stream::Send(std::string_view bytes) {
  if (bytes.empty() || end_given_) return;
  if (out_at_ > kKeptOut) out_.erase(0, std::exchange(out_at_, 0));
  out_.append(bytes);
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(session_.session_, id_);
  session_.owner_.OnOutput();
}

void H2Stream::SendEnd() {
  if (std::exchange(end_given_, true)) return;
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(session_.session_, id_);
  session_.owner_.OnOutput();
}

void H2Stream::SendTrailers(H2Fields fields) {
  if (end_given_) return;
  for (const H2Field& field : fields) {
    trailers_.emplace_back(field.name, field.value);
    secret_trailers_.push_back(field.secret);
  }
  SendEnd();
}

void H2Stream::Consumed(size_t bytes) {
  bytes = std::min(bytes, held_);
  if (bytes == 0) return;
  held_ -= bytes;
  nghttp2_session_consume_stream(session_.session_, id_, bytes);
  session_.GiveBack(bytes);
  session_.owner_.OnOutput();
}

void H2Stream::StopClient() {
  if (std::exchange(stopped_, true)) return;
  nghttp2_submit_rst_stream(session_.session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_NO_ERROR);
  session_.owner_.OnOutput();
}

void H2Stream::Reset(H2Error code) {
  reset_here_ = true;
  nghttp2_submit_rst_stream(session_.session_, NGHTTP2_FLAG_NONE, id_, static_cast<uint32_t>(code));
  session_.owner_.OnOutput();
}

// The session
// ---------------------------------------------------------------------------------------------------------------

std::unique_ptr<H2Session> H2Session::Server(Owner& owner, const Options& options) {
  std::unique_ptr<H2Session> session(new H2Session(owner, options));
  return session->Begin(true) ? std::move(session) : nullptr;
}

std::unique_ptr<H2Session> H2Session::Client(Owner& owner, const Options& options) {
  std::unique_ptr<H2Session> session(new H2Session(owner, options));
  return session->Begin(false) ? std::move(session) : nullptr;
}

bool H2Session::Begin(bool server) {
  server_ = server;
  resets_left_ = kResetBurst;
  resets_since_ = std::chrono::steady_clock::now();
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) return false;
  const std::unique_ptr<nghttp2_option, DeleteOption> option(made);
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);
  nghttp2_option_set_stream_reset_rate_limit(made, kResetBurst, kResetsPerSecond);
  // What may come in may go out.
  nghttp2_option_set_max_send_header_block_length(made, options_.max_header + kHeadRoom);
  const int wrong = server
                        ? nghttp2_session_server_new2(&session_, H2Callbacks::Table(), this, made)
                        : nghttp2_session_client_new2(&session_, H2Callbacks::Table(), this, made);
  if (wrong != 0) return false;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrame},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options_.max_header)},
      {static_cast<int32_t>(server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
                                   : NGHTTP2_SETTINGS_ENABLE_PUSH),
       server ? options_.max_streams : 0},
  };
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) ==
             0;
}

H2Session::~H2Session() {
  if (session_ != nullptr) nghttp2_session_del(session_);
}

void H2Session::CloseStreams() {
  const auto streams = std::move(streams_);
  streams_.clear();
  for (const auto& [id, stream] : streams) {
    nghttp2_session_set_stream_user_data(session_, id, nullptr);
    Tell(*stream,
         [&, s = stream.get()](H2Stream::User& user) { user.OnClosed(*s, H2Error::kLost); });
  }
}

bool H2Session::Feed(std::string_view bytes) {
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  // Not from where it is found out: nghttp2 goes on reading after a callback that has ended the session, and dies of the next
  // frame with a wrong size.
  if (std::exchange(flooded_, false))
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  owner_.OnOutput();
  return taken >= 0 && nghttp2_session_get_outbound_queue_size(session_) <= kMaxQueuedFrames;
}

void H2Session::Take(std::string& out, size_t most) {
  for (const size_t begin = out.size(); out.size() - begin < most;) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size <= 0) return;
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
}

bool H2Session::wants_to_send() const { return nghttp2_session_want_write(session_) != 0; }

bool H2Session::over() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

H2Stream& H2Session::Add(int32_t id) {
  auto& place = streams_[id];
  place = std::make_unique<H2Stream>(*this, id);
  return *place;
}

H2Stream* H2Session::Open(H2Stream::User& user, H2Fields fields, bool end) {
  if (closing_ || nghttp2_session_check_request_allowed(session_) == 0) return nullptr;
  auto stream = std::make_unique<H2Stream>(
      *this, static_cast<int32_t>(nghttp2_session_get_next_stream_id(session_)));
  stream->user_ = &user;
  stream->head_sent_ = true;
  stream->end_given_ = end;
  nghttp2_data_provider provider;
  provider.source.ptr = stream.get();
  provider.read_callback = H2Callbacks::ReadBody;
  const auto nvs = ToNvs(fields);
  const int32_t id = nghttp2_submit_request(session_, nullptr, nvs.data(), nvs.size(),
                                            end ? nullptr : &provider, stream.get());
  if (id < 0) return nullptr;
  H2Stream* const opened = stream.get();
  streams_[id] = std::move(stream);
  owner_.OnOutput();
  return opened;
}

size_t H2Session::room() const {
  const uint32_t most = std::min(
      options_.max_streams,
      nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
  return closing_ || streams_.size() >= most ? 0 : most - streams_.size();
}

void H2Session::SayGoAway(bool soon) {
  if (soon) {
    nghttp2_submit_shutdown_notice(session_);
  } else {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                          nullptr, 0);
  }
  owner_.OnOutput();
}

void H2Session::Closed(int32_t id, uint32_t code) {
  const auto at = streams_.find(id);
  if (at == streams_.end()) return;
  const std::unique_ptr<H2Stream> stream = std::move(at->second);
  streams_.erase(at);
  if (server_ && code != NGHTTP2_NO_ERROR && !stream->reset_here_ && !stream->end_sent_)
    CountReset();
  nghttp2_session_set_stream_user_data(session_, id, nullptr);
  GiveBack(stream->held_);
  stream->held_ = 0;
  Tell(*stream, [&](H2Stream::User& user) { user.OnClosed(*stream, static_cast<H2Error>(code)); });
}

void H2Session::EndHead(H2Stream& stream, bool end) {
  if (server_ && !stream.head_come_) {
    try {
      stream.user_ = owner_.OnStream(stream);
    } catch (const std::exception& e) {
      LOG_ERROR("a stream failed", {"server", "gateway"}, {"error", e.what()});
    }
    if (stream.user_ == nullptr) {
      stream.head_come_ = true;
      return stream.Reset(H2Error::kRefusedStream);
    }
  }
  if (too_large_) {
    stream.head_come_ = true;
    return Tell(stream, [&](H2Stream::User& user) { user.OnHeadTooLarge(stream); });
  }
  Tell(stream, [&](H2Stream::User& user) {
    std::vector<H2Field> fields;
    fields.reserve(raw_fields_.size());
    const std::string_view text = head_text_;
    bool head = !stream.head_come_;
    for (const RawField& raw : raw_fields_) {
      fields.push_back({text.substr(raw.name, raw.value - raw.name),
                        text.substr(raw.value, raw.end - raw.value), raw.secret});
      head = head || fields.back().name == ":status";
    }
    stream.head_come_ = true;
    if (head) return user.OnHead(stream, fields, end);
    user.OnTrailers(stream, fields);
    if (end) user.OnEnd(stream);
  });
}

void H2Session::CameData(H2Stream& stream, std::string_view bytes) {
  if (server_ && stream.end_sent_) {
    nghttp2_session_consume_connection(session_, bytes.size());
    stream.late_ += bytes.size();
    if (stream.late_ > kMaxLate) stream.StopClient();
    return;
  }
  held_ += bytes.size();
  stream.held_ += bytes.size();
  // Who does not take his answer must not keep others on this connection waiting. All answers together are bounded by the
  // streams' windows; requests, whose client has only himself to wait for, by less.
  if (!server_ || held_ <= kMaxHeld) {
    nghttp2_session_consume_connection(session_, bytes.size());
  } else {
    withheld_ += bytes.size();
  }
  if (stream.user_ == nullptr) return stream.Consumed(bytes.size());
  Tell(stream, [&](H2Stream::User& user) { user.OnData(stream, bytes); });
}

void H2Session::GiveBack(size_t bytes) {
  held_ -= std::min(bytes, held_);
  if (withheld_ == 0 || held_ > kMaxHeld / 2) return;
  nghttp2_session_consume_connection(session_, std::exchange(withheld_, 0));
  owner_.OnOutput();
}

void H2Session::CountData(bool empty) {
  empty_data_ = empty ? empty_data_ + 1 : 0;
  if (empty_data_ == kMaxEmptyData) flooded_ = true;
}

/// Of a client's making: RST_STREAM, which nghttp2 counts too, or what makes nghttp2 reset the stream.
void H2Session::CountReset() {
  const auto seconds =
      std::chrono::floor<std::chrono::seconds>(std::chrono::steady_clock::now() - resets_since_);
  resets_since_ += seconds;
  const auto more = static_cast<uint64_t>(seconds.count()) * kResetsPerSecond;
  resets_left_ = std::min(kResetBurst, resets_left_ + more);
  if (resets_left_ == 0) {
    flooded_ = true;
  } else {
    --resets_left_;
  }
}

}  // namespace leadsman::gateway
