#include "net/http2_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "net/limit_setting.h"

namespace leadsman::net {
namespace {

using std::chrono::milliseconds;

constexpr uint32_t kStreamWindow = 1 << 20;
constexpr int32_t kConnectionWindow = 8 << 20;
constexpr uint32_t kMaxFrame = 64 << 10;
constexpr size_t kGatherAtOnce = 128 << 10;
constexpr size_t kSpareStreams = 32;
constexpr size_t kLargestOfSpare =
    256 << 10;  // whatever was made for a larger request is let go with its stream
constexpr size_t kMaxQueuedFrames = 10'000;  // of a client that makes us answer and does not read
constexpr int kMaxEmptyData = 1000;          // one after the other
constexpr int kReadsPerTurn = 4;             // of one busy client, before others get their turn,
constexpr int kCallsPerTurn = 32;            // and so many calls to the handler
constexpr uint64_t kResetBurst = 10;         // times max_resets_per_second: of the client at once
constexpr milliseconds kGoAwayPatience{250};
constexpr milliseconds kLinger{500};

nghttp2_nv ToNv(std::string_view name, std::string_view value, bool index) {
  nghttp2_nv nv;
  nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  nv.namelen = name.size();
  nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  nv.valuelen = value.size();
  nv.flags = index ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX;
  return nv;
}

/// Small arrays of header fields without an allocation.
constexpr size_t kMaxFields = 32;

}  // namespace

// What nghttp2 calls. C frames are above: nothing may be thrown out of here.
struct Http2Callbacks {
  static Http2Connection& Self(void* user_data) {
    return *static_cast<Http2Connection*>(user_data);
  }
  static Http2Stream* StreamOf(nghttp2_session* session, int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int BeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    try {
      Http2Stream* stream = Self(user_data).OpenStream(frame->hd.stream_id);
      return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    } catch (const std::exception&) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
  }

  static int Header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t /*flags*/,
                    void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    Http2Connection& self = Self(user_data);
    // 32 a field, as RFC 9113 counts.
    if (stream->head_text_.size() + name_size + value_size + 32 * (stream->raw_fields_.size() + 1) >
        self.worker_.options().max_header_bytes) {
      stream->head_too_large_ = true;  // read over; told when all of it has come
    }
    if (stream->head_too_large_) return 0;
    try {
      Http2Stream::RawField raw;
      raw.name = static_cast<uint32_t>(stream->head_text_.size());
      stream->head_text_.append(reinterpret_cast<const char*>(name), name_size);
      raw.value = static_cast<uint32_t>(stream->head_text_.size());
      stream->head_text_.append(reinterpret_cast<const char*>(value), value_size);
      raw.end = static_cast<uint32_t>(stream->head_text_.size());
      stream->raw_fields_.push_back(raw);
    } catch (const std::exception&) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
  }

  static int FrameReceived(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    Http2Connection& self = Self(user_data);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_DATA)
      self.CountData(frame->hd.length == frame->data.padlen && !end);
    if (stream == nullptr) return 0;
    const bool head =
        frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    stream->half_closed_ = stream->half_closed_ || end;
    if (head) self.Tell(*stream, [&] { self.EndHead(*stream); });
    if (!head || end) self.MakeReady(*stream);
    return 0;
  }

  static int DataChunk(nghttp2_session* session, uint8_t /*flags*/, int32_t id, const uint8_t* data,
                       size_t size, void* user_data) {
    Http2Connection& self = Self(user_data);
    nghttp2_session_consume_connection(session, size);
    Http2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) return 0;
    self.Tell(*stream, [&] { self.TakeChunk(*stream, reinterpret_cast<const char*>(data), size); });
    return 0;
  }

  static int StreamClose(nghttp2_session* session, int32_t id, uint32_t code, void* user_data) {
    Http2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) return 0;
    stream->reset_by_client_ = code != NGHTTP2_NO_ERROR && !stream->end_sent_;
    Self(user_data).StreamClosed(*stream, stream->end_sent_);
    return 0;
  }

  static int FrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* /*user_data*/) {
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 || frame->hd.type != NGHTTP2_HEADERS)
      return 0;
    Http2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    stream->end_sent_ = true;
    // An answer before the request's end: the client is to stop sending.
    if (!stream->half_closed_) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int InvalidFrame(nghttp2_session* /*session*/, const nghttp2_frame* /*frame*/,
                          int /*code*/, void* user_data) {
    Self(user_data).worker_.counters().bad_requests.Add(1);
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session* session, int32_t id, uint8_t* out, size_t room,
                          uint32_t* flags, nghttp2_data_source* source, void* user_data) {
    auto& stream = *static_cast<Http2Stream*>(source->ptr);
    const size_t size = std::min(room, stream.unsent());
    std::memcpy(out, stream.answer_.data() + stream.answer_sent_, size);
    stream.answer_sent_ += size;
    Self(user_data).StreamSent(size);
    if (size > 0) stream.last_progress_ = Self(user_data).last_flush_;
    if (stream.unsent() > 0) return static_cast<ssize_t>(size);
    stream.answer_.clear();
    stream.answer_sent_ = 0;
    if (stream.tell_when_sent_) Self(user_data).all_sent_ = true;
    if (!stream.trailers_given_) {
      if (size > 0) return static_cast<ssize_t>(size);
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_nv nvs[kMaxFields];
    size_t count = std::min(stream.trailers_.size(), kMaxFields);
    for (size_t i = 0; i < count; ++i) {
      nvs[i] =
          ToNv(stream.trailers_[i].first, stream.trailers_[i].second, stream.trailer_index_[i]);
    }
    if (nghttp2_submit_trailer(session, id, nvs, count) != 0)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
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
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, InvalidFrame);
      return callbacks;
    }();
    return table;
  }

  struct DeleteOption {
    void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
  };
  static std::unique_ptr<nghttp2_option, DeleteOption> Options(uint64_t resets_per_second) {
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, kResetBurst * resets_per_second,
                                               resets_per_second);
    nghttp2_option_set_no_closed_streams(option, 1);
    return std::unique_ptr<nghttp2_option, DeleteOption>(option);
  }
};

template <typename Call>
void Http2Connection::Tell(Http2Stream& stream, Call call) {
  try {
    call();
  } catch (const std::exception& e) {
    LOG_ERROR("a stream failed", {"server", worker_.options().name}, {"error", e.what()});
    stream.Reset(NGHTTP2_INTERNAL_ERROR);
  }
}

Http2Connection::Http2Connection(Http2Worker& worker, int socket)
    : worker_(worker), socket_(socket), share_(worker.options().body_budget) {
  began_ = last_read_ = last_written_ = last_stream_ = worker_.Now();
  // By the number of the connection, which spreads them as well as chance does.
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  const auto share =
      static_cast<double>((worker_.counters().accepted.value() + 1) * kOdd) * 0x1p-64;
  const double age = static_cast<double>(worker_.options().max_connection_age.count());
  age_ = milliseconds(static_cast<int64_t>(age * (0.9 + 0.2 * share)));
}

Http2Connection::~Http2Connection() {
  if (session_ != nullptr) nghttp2_session_del(session_);
  close(socket_);
}

bool Http2Connection::Start() {
  int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const Http2ServerOptions& options = worker_.options();
  if (nghttp2_session_server_new2(&session_, Http2Callbacks::Table(), this,
                                  Http2Callbacks::Options(options.max_resets_per_second).get()) !=
      0)
    return false;
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kMaxFrame},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options.max_header_bytes)},
  };
  if (nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) != 0)
    return false;
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  if (options.certificates) {
    tls_context_ = static_cast<const CertificatesOfFiles&>(*options.certificates).current();
    tls_ = std::make_unique<TlsStream>(tls_context_->context.get(), socket_,
                                       TlsStream::Server::kSide, "h2");
    if (!tls_->valid()) return false;
    handshake_done_ = false;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = this;
  return epoll_ctl(worker_.epoll(), EPOLL_CTL_ADD, socket_, &event) == 0;
}

void Http2Connection::Close() {
  if (closed_) return;
  closed_ = true;
  if (tls_ && handshake_done_) tls_->SendCloseNotify();
  epoll_ctl(worker_.epoll(), EPOLL_CTL_DEL, socket_, nullptr);
  ::shutdown(socket_, SHUT_RDWR);
  while (!streams_.empty()) StreamClosed(*streams_.back(), false);
  worker_.Bury(*this);
}

// Reading
// ------------------------------------------------------------------------------------------------------------------

void Http2Connection::OnEvent(bool readable, bool writable) {
  if (!handshake_done_ && !Handshake()) return;
  if (writable) Flush();
  // What has been read has its turn first: until then the client waits.
  if (readable && !closed_ && ready_.empty()) Read();
}

void Http2Connection::OnTurn() {
  calls_left_ = kCallsPerTurn;
  RunReady();
  if (ready_.empty() && std::exchange(more_to_read_, false)) return Read();
  Flush();
}

/// False while it is under way, or when it has failed.
bool Http2Connection::Handshake() {
  if (!std::exchange(first_bytes_seen_, true)) {
    // What is no TLS, as a client that was not told of it, is closed at once instead of waited for.
    char first = 0;
    if (::recv(socket_, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first != 0x16) {
      worker_.counters().tls_failures.Add(1);
      Close();
      return false;
    }
  }
  switch (tls_->Handshake()) {
    case TlsStream::Outcome::kOk:
      handshake_done_ = true;
      first_bytes_seen_ = false;
      last_read_ = worker_.Now();
      worker_.counters().tls_handshakes.Add(1);
      if (tls_->resumed()) worker_.counters().tls_resumed.Add(1);
      WatchWritable(false);
      Read();
      return false;
    case TlsStream::Outcome::kWantRead:
      WatchWritable(false);
      return false;
    case TlsStream::Outcome::kWantWrite:
      WatchWritable(true);
      return false;
    default:
      LOG_DEBUG("a TLS handshake failed", {"server", worker_.options().name},
                {"error", tls_->error()});
      worker_.counters().tls_failures.Add(1);
      Close();
      return false;
  }
}

ssize_t Http2Connection::Receive(char* out, size_t room) {
  if (!tls_) {
    ssize_t got = ::recv(socket_, out, room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    return got <= 0 ? -1 : got;
  }
  size_t total = 0;
  while (total < room) {
    size_t bytes = 0;
    const TlsStream::Outcome outcome = tls_->Read(out + total, room - total, &bytes);
    total += bytes;
    if (outcome == TlsStream::Outcome::kOk) continue;
    if (outcome == TlsStream::Outcome::kWantRead || outcome == TlsStream::Outcome::kWantWrite)
      break;
    if (total == 0) return -1;
    break;  // the end is told by the next call
  }
  return static_cast<ssize_t>(total);
}

void Http2Connection::Read() {
  if (!handshake_done_) return;
  calls_left_ = kCallsPerTurn;
  std::vector<char>& buffer = worker_.read_buffer();
  for (int i = 0; i < kReadsPerTurn && ready_.empty(); ++i) {
    ssize_t got = Receive(buffer.data(), buffer.size());
    if (got < 0) return Close();
    if (got == 0) break;
    last_read_ = worker_.Now();
    ping_sent_ = false;
    worker_.counters().bytes_in.Add(static_cast<uint64_t>(got));
    if (!lingering_ && !Feed(buffer.data(), static_cast<size_t>(got))) return;
    RunReady();
    if (static_cast<size_t>(got) < buffer.size()) break;
  }
  if (tls_ && (tls_->HasPending() || tls_->ended())) {
    more_to_read_ = true;
    StreamHasOutput();
  }
  Flush();
}

bool Http2Connection::Feed(const char* bytes, size_t size) {
  if (!std::exchange(first_bytes_seen_, true) && size >= 4 && std::memcmp(bytes, "PRI ", 4) != 0) {
    RefuseHttp1();
    return false;
  }
  ssize_t taken = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes), size);
  if (std::exchange(flooded_, false)) {
    // Not from where it is found out: nghttp2 goes on reading after a callback that has ended the session, and dies of the next
    // frame with a wrong size.
    worker_.counters().bad_requests.Add(1);
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  }
  if (taken >= 0 && nghttp2_session_get_outbound_queue_size(session_) <= kMaxQueuedFrames)
    return true;
  worker_.counters().bad_requests.Add(1);
  Flush();  // a GOAWAY with the reason may stand there
  Close();
  return false;
}

/// As many of those that wait as the turn has calls for. The rest has the next.
void Http2Connection::RunReady() {
  while (!ready_.empty() && calls_left_ > 0) {
    --calls_left_;
    Http2Stream& stream = *ready_.front();
    ready_.pop_front();
    stream.ready_ = false;
    if (stream.refused_) continue;
    Tell(stream, [&] {
      if (crowded() && !stream.patient && !stream.head_sent_) return RefuseCrowded(stream);
      worker_.handler().OnBody(stream);
    });
  }
  if (!ready_.empty()) MarkDirty();
}

void Http2Connection::RefuseCrowded(Http2Stream& stream) {
  Refuse(stream, ResourceExhaustedError(StrCat(
                     "the answers that this connection's client has not read hold more than ",
                     worker_.options().UnsentLimit(),
                     " bytes; read them, or send fewer requests at once")));
}

void Http2Connection::MakeReady(Http2Stream& stream) {
  if (std::exchange(stream.ready_, true)) return;
  ready_.push_back(&stream);
  MarkDirty();
}

void Http2Connection::CountData(bool empty) {
  empty_data_ = empty ? empty_data_ + 1 : 0;
  if (empty_data_ == kMaxEmptyData) flooded_ = true;
}

/// A browser, curl or a REST client at the wrong port is told so in words it can read.
void Http2Connection::RefuseHttp1() {
  worker_.counters().bad_requests.Add(1);
  const std::string& hint = worker_.options().http1_hint;
  std::string answer = StrCat(
      "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: "
      "close\r\ncontent-length: ",
      hint.size() + 1, "\r\n\r\n", hint, "\n");
  [[maybe_unused]] ssize_t sent = Send(answer);
  ::shutdown(socket_, SHUT_WR);
  lingering_ = true;
  linger_began_ = last_read_;
}

Http2Stream* Http2Connection::OpenStream(int32_t id) {
  std::shared_ptr<Http2Stream> stream;
  if (spare_.empty()) {
    stream = std::make_shared<Http2Stream>();
  } else {
    stream = std::move(spare_.back());
    spare_.pop_back();
  }
  stream->connection_ = this;
  if (!stream->worker_) stream->worker_ = worker_.shared_from_this();
  stream->id_ = id;
  stream->index_ = streams_.size();
  stream->last_progress_ = last_read_;
  stream->gone_.store(false);
  streams_.push_back(std::move(stream));
  return streams_.back().get();
}

void Http2Connection::EndHead(Http2Stream& stream) {
  stream.received_ = worker_.Now();
  worker_.counters().requests.Add(1);
  if (stream.head_too_large_) {
    return Refuse(
        stream, ResourceExhaustedError(StrCat("the request's metadata is larger than the limit of ",
                                              worker_.options().max_header_bytes,
                                              " bytes (server.limits.max_header)")));
  }
  const std::string_view text = stream.head_text_;
  for (const Http2Stream::RawField& raw : stream.raw_fields_) {
    std::string_view name = text.substr(raw.name, raw.value - raw.name);
    std::string_view value = text.substr(raw.value, raw.end - raw.value);
    if (name == ":path") {
      stream.path_ = value;
    } else if (name == ":method") {
      stream.method_ = value;
    } else if (!name.starts_with(':')) {
      stream.fields_.push_back({name, value});
    }
  }
  worker_.handler().OnHead(stream);
}

void Http2Connection::TakeChunk(Http2Stream& stream, const char* bytes, size_t size) {
  stream.wire_body_bytes_ += size;
  stream.last_progress_ = last_read_;
  if (stream.refused_ ||
      stream.trailers_given_) {  // answered already: what still comes is read over
    nghttp2_session_consume_stream(session_, stream.id_, size);
    return;
  }
  const Http2ServerOptions& options = worker_.options();
  const bool too_large = stream.body().size() + size > BodyLimit(stream);
  if (too_large || buffered_ + size > options.HeldLimit()) {
    nghttp2_session_consume_stream(session_, stream.id_, size);
    return Refuse(
        stream, ResourceExhaustedError(
                    too_large ? StrCat("the request is larger than the limit of ",
                                       options.max_body_bytes, " bytes")
                              : StrCat("the requests under way on this connection hold more than ",
                                       options.HeldLimit(), " bytes; send fewer at once")));
  }
  if (!share_.Hold(buffered_ + size)) {
    nghttp2_session_consume_stream(session_, stream.id_, size);
    worker_.counters().bodies_refused.Add(1);
    return Refuse(stream,
                  ResourceExhaustedError(StrCat(
                      "the requests under way hold as much as they may, ", share_.limit(), " bytes",
                      LimitSetting(options.limits_setting, "max_held"), "; try again later")));
  }
  // Moved when that is less than what goes.
  if (stream.taken_ > stream.body_.size() / 2) {
    stream.body_.erase(0, std::exchange(stream.taken_, 0));
  }
  stream.body_.append(bytes, size);
  buffered_ += size;
  if (!stream.patient || stream.body().size() <= stream.expected_) {
    nghttp2_session_consume_stream(session_, stream.id_, size);
  } else {
    stream.withheld_ += size;
  }
}

/// Of what has not been taken. Behind a message of a patient stream there may be others, up to its window.
size_t Http2Connection::BodyLimit(const Http2Stream& stream) const {
  return worker_.options().max_body_bytes + (stream.patient ? kStreamWindow : 0);
}

bool Http2Connection::crowded() const { return unsent_ > worker_.options().UnsentLimit(); }

void Http2Connection::Refuse(Http2Stream& stream, const Status& why) {
  worker_.counters().bad_requests.Add(1);
  stream.refused_ = true;
  worker_.handler().OnRefuse(stream, why);
}

void Http2Connection::StreamTook(Http2Stream& stream, size_t bytes) {
  buffered_ -= std::min(bytes, buffered_);
  share_.Hold(buffered_);
  // For what is there and waits there is no credit, so that a client cannot send faster than it is served.
  const size_t waiting = stream.body().size();
  const size_t kept = waiting <= stream.expected_ ? 0 : std::min(stream.withheld_, waiting);
  if (stream.withheld_ == kept) return;
  nghttp2_session_consume_stream(session_, stream.id_, stream.withheld_ - kept);
  stream.withheld_ = kept;
  StreamHasOutput();
}

void Http2Connection::StreamClosed(Http2Stream& stream, bool clean) {
  nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  std::shared_ptr<Http2Stream> held = streams_[stream.index_];
  if (stream.index_ + 1 < streams_.size()) {
    streams_[stream.index_] = std::move(streams_.back());
    streams_[stream.index_]->index_ = stream.index_;
  }
  streams_.pop_back();
  last_stream_ = std::max(last_read_, last_flush_);
  if (stream.ready_) std::erase(ready_, &stream);
  buffered_ -= std::min(stream.body().size(), buffered_);
  share_.Hold(buffered_);
  StreamSent(stream.unsent());
  stream.connection_ = nullptr;
  stream.gone_.store(true);
  try {
    if (stream.received_ != Time{})
      worker_.handler().OnClose(stream, clean);  // of others the handler has not heard
  } catch (const std::exception& e) {
    LOG_ERROR("closing a stream failed", {"server", worker_.options().name}, {"error", e.what()});
  }
  // Nobody else can begin to hold it now: only a holder can hand it on.
  if (held.use_count() != 1 || spare_.size() >= kSpareStreams || closed_) return;
  if (stream.drop_state_ || stream.wire_body_bytes_ > kLargestOfSpare) return;
  stream.Clear();
  spare_.push_back(std::move(held));
}

// Writing
// ------------------------------------------------------------------------------------------------------------------

void Http2Connection::StreamHasOutput() {
  if (!flushing_) MarkDirty();
}

void Http2Connection::MarkDirty() {
  if (dirty || closed_) return;
  dirty = true;
  worker_.MarkDirty(*this);
}

void Http2Connection::SubmitHead(Http2Stream& stream, std::span<const Http2Stream::Field> fields,
                                 bool end) {
  nghttp2_nv nvs[kMaxFields];
  size_t count = std::min(fields.size(), kMaxFields);
  for (size_t i = 0; i < count; ++i)
    nvs[i] = ToNv(fields[i].name, fields[i].value, fields[i].index);
  nghttp2_data_provider provider;
  provider.source.ptr = &stream;
  provider.read_callback = Http2Callbacks::ReadBody;
  nghttp2_submit_response(session_, stream.id_, nvs, count, end ? nullptr : &provider);
  StreamHasOutput();
}

void Http2Connection::ResumeBody(Http2Stream& stream) {
  if (std::exchange(stream.deferred_, false)) nghttp2_session_resume_data(session_, stream.id_);
  StreamHasOutput();
}

void Http2Connection::ResetStream(Http2Stream& stream, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, code);
  StreamHasOutput();
}

void Http2Connection::Gather() {
  out_.clear();
  out_sent_ = 0;
  while (out_.size() < kGatherAtOnce) {
    const uint8_t* bytes = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size <= 0) break;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
}

ssize_t Http2Connection::Send(std::string_view bytes) {
  if (!tls_) {
    ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
  }
  size_t total = 0;
  while (total < bytes.size()) {
    size_t taken = 0;
    const TlsStream::Outcome outcome = tls_->Write(bytes.substr(total), &taken);
    total += taken;
    if (outcome == TlsStream::Outcome::kOk) continue;
    if (outcome == TlsStream::Outcome::kWantRead || outcome == TlsStream::Outcome::kWantWrite)
      break;
    return -1;
  }
  return static_cast<ssize_t>(total);
}

/// True when the socket has taken everything.
bool Http2Connection::WriteSome() {
  const ssize_t sent = Send(std::string_view(out_).substr(out_sent_));
  if (sent < 0) {
    Close();
    return false;
  }
  worker_.counters().bytes_out.Add(static_cast<uint64_t>(sent));
  out_sent_ += static_cast<size_t>(sent);
  if (sent > 0) last_written_ = last_flush_;
  return out_sent_ == out_.size();
}

void Http2Connection::Flush() {
  if (closed_ || lingering_ || flushing_ || !handshake_done_) return;
  flushing_ = true;
  last_flush_ = worker_.Now();
  bool all = true;
  try {
    if (out_sent_ < out_.size()) all = WriteSome();
    while (all && !closed_) {
      Gather();
      if (std::exchange(all_sent_, false)) CallThoseSent();
      if (out_.empty()) break;
      all = WriteSome();
    }
  } catch (const std::exception& e) {
    LOG_ERROR("connection failed", {"server", worker_.options().name}, {"error", e.what()});
    Close();
  }
  flushing_ = false;
  if (closed_) return;
  if (!all && !watching_writable_) last_written_ = last_flush_;
  WatchWritable(!all);
  if (!all) return;
  if (out_.capacity() > kGatherAtOnce + kMaxFrame) std::string().swap(out_);
  // An error on the connection has been told; or it is drained and all is answered.
  const bool done =
      nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (done || (goaway_final_ && streams_.empty())) {
    ::shutdown(socket_, SHUT_WR);
    lingering_ = true;
    linger_began_ = last_flush_;
  }
}

void Http2Connection::CallThoseSent() {
  for (const auto& stream : streams_) {
    if (stream->unsent() == 0 && std::exchange(stream->tell_when_sent_, false)) MakeReady(*stream);
  }
}

void Http2Connection::WatchWritable(bool on) {
  if (on == watching_writable_) return;
  watching_writable_ = on;
  epoll_event event{};
  event.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = this;
  epoll_ctl(worker_.epoll(), EPOLL_CTL_MOD, socket_, &event);
}

// Time
// ------------------------------------------------------------------------------------------------------------------

void Http2Connection::BeginDrain() {
  if (closed_ || goaway_soon_) return;
  goaway_soon_ = true;
  drain_began_ = worker_.Now();
  nghttp2_submit_shutdown_notice(session_);
  StreamHasOutput();
}

void Http2Connection::OnSweep(Time now) {
  const Http2ServerOptions& options = worker_.options();
  if (lingering_) {
    if (now - linger_began_ >= kLinger) Close();
    return;
  }
  if (watching_writable_ && now - last_written_ >= options.write_timeout) {
    worker_.counters().timeouts.Add(1);
    return Close();
  }
  if ((!first_bytes_seen_ || !handshake_done_) && now - last_read_ >= options.handshake_timeout) {
    worker_.counters().timeouts.Add(1);
    if (!handshake_done_) worker_.counters().tls_failures.Add(1);
    return Close();
  }
  if (!handshake_done_) {
    if (worker_.draining() && now - worker_.drain_began() >= kLinger) Close();
    return;
  }
  // Requests that were on their way when the client read the first GOAWAY have arrived by now.
  const milliseconds patience = worker_.draining()
                                    ? std::min<milliseconds>(worker_.grace() / 2, kGoAwayPatience)
                                    : kGoAwayPatience;
  if (goaway_soon_ && !goaway_final_ && now - drain_began_ >= patience) {
    goaway_final_ = true;
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                          nullptr, 0);
    StreamHasOutput();
  }
  const auto silent = now - last_read_;
  if (silent >= options.keepalive_interval) {
    if (ping_sent_ && silent >= options.keepalive_interval + options.keepalive_timeout) {
      worker_.counters().timeouts.Add(1);
      return Close();
    }
    if (!std::exchange(ping_sent_, true)) {
      nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
      StreamHasOutput();
    }
  }
  if (streams_.empty() && now - last_stream_ >= options.idle_timeout) BeginDrain();
  if (age_.count() > 0 && now - began_ >= age_) {
    BeginDrain();
    const milliseconds grace = options.max_connection_age_grace;
    if (grace.count() > 0 && now - began_ >= age_ + grace) return Close();
  }
  for (size_t i = streams_.size(); i-- > 0;) {
    if (i >= streams_.size()) continue;
    std::shared_ptr<Http2Stream> stream = streams_[i];
    SweepStream(*stream, now);
  }
}

/// The client has shut its window. When it has not, an answer waits for the socket, which has a timeout of its own.
bool Http2Connection::MayNotSend(const Http2Stream& stream) const {
  return nghttp2_session_get_stream_remote_window_size(session_, stream.id_) <= 0 ||
         nghttp2_session_get_remote_window_size(session_) <= 0;
}

void Http2Connection::SweepStream(Http2Stream& stream, Time now) {
  const Http2ServerOptions& options = worker_.options();
  const auto idle = now - stream.last_progress_;
  if (stream.trailers_given_ || stream.unsent() > 0) {
    if (idle >= options.write_timeout && stream.unsent() > 0 && MayNotSend(stream)) {
      worker_.counters().timeouts.Add(1);
      stream.Reset(NGHTTP2_CANCEL);
    }
    return;
  }
  if (stream.alarm_ && now >= *stream.alarm_) {
    stream.alarm_.reset();
    return Tell(stream, [&] { worker_.handler().OnAlarm(stream); });
  }
  if (!stream.half_closed_ && !stream.patient && idle >= options.read_timeout && !stream.refused_) {
    worker_.counters().timeouts.Add(1);
    Tell(stream, [&] {
      Refuse(stream,
             DeadlineExceededError(
                 "the request did not arrive in time: nothing came for a while before its end"));
    });
  }
}

}  // namespace leadsman::net
