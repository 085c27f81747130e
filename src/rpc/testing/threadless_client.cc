#include "rpc/testing/threadless_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/strings.h"
#include "rpc/grpc_call.h"

namespace leadsman::rpc {
namespace {

constexpr std::chrono::seconds kPatience{20};
constexpr size_t kReadAtOnce = 64 << 10;

nghttp2_nv Field(std::string_view name, std::string_view value) {
  nghttp2_nv field{};
  field.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  field.namelen = name.size();
  field.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  field.valuelen = value.size();
  return field;
}

}  // namespace

struct ThreadlessClient::Stream {
  Call call;
  std::string unsent;
  bool writes_done = false;
  bool deferred = false;
  std::string received;
  std::string grpc_status, grpc_message;
};

struct ThreadlessCallbacks {
  using Stream = ThreadlessClient::Stream;
  static ThreadlessClient& Self(void* user) { return *static_cast<ThreadlessClient*>(user); }
  static Stream* Find(void* user, int id) {
    auto& streams = Self(user).streams_;
    auto it = streams.find(id);
    return it == streams.end() ? nullptr : it->second.get();
  }

  static ssize_t Read(nghttp2_session*, int32_t, uint8_t* out, size_t room, uint32_t* flags,
                      nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const size_t size = std::min(room, stream.unsent.size());
    std::memcpy(out, stream.unsent.data(), size);
    stream.unsent.erase(0, size);
    if (stream.unsent.empty() && stream.writes_done) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (size > 0 || stream.writes_done) return static_cast<ssize_t>(size);
    stream.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }

  static int Header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    Stream* stream = Find(user, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (key == "grpc-status") stream->grpc_status = text;
    if (key == "grpc-message") stream->grpc_message = text;
    return 0;
  }

  static int Data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                  void* user) {
    Stream* stream = Find(user, id);
    if (stream == nullptr) return 0;
    stream->received.append(reinterpret_cast<const char*>(bytes), size);
    MessageReader reader(MessageLimits{});
    size_t taken = 0;
    while (reader.Read(stream->received, &taken) == MessageReader::Outcome::kMessage) {
      stream->call.messages.emplace_back(reader.message());
      stream->received.erase(0, taken);
    }
    return 0;
  }

  static int Closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Stream* stream = Find(user, id);
    if (stream == nullptr) return 0;
    std::optional<int64_t> status = ParseInt64(stream->grpc_status);
    if (status) {
      Self(user).End(*stream, Status(static_cast<StatusCode>(*status), stream->grpc_message));
    } else {
      Self(user).End(*stream, UnavailableError(StrCat("reset with the HTTP/2 code ", code)));
    }
    return 0;
  }

  static int Frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) Self(user).told_to_go_ = true;
    return 0;
  }
};

ThreadlessClient::ThreadlessClient(uint16_t port) {
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    Disconnect();
    return;
  }
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, ThreadlessCallbacks::Header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, ThreadlessCallbacks::Data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, ThreadlessCallbacks::Closed);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, ThreadlessCallbacks::Frame);
  CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
}

ThreadlessClient::~ThreadlessClient() {
  Disconnect();
  if (session_ != nullptr) nghttp2_session_del(session_);
}

int ThreadlessClient::Start(const std::string& path) {
  auto stream = std::make_unique<Stream>();
  nghttp2_data_provider provider;
  provider.source.ptr = stream.get();
  provider.read_callback = ThreadlessCallbacks::Read;
  const nghttp2_nv fields[] = {Field(":method", "POST"), Field(":scheme", "http"),
                               Field(":path", path),     Field(":authority", "localhost"),
                               Field("te", "trailers"),  Field("content-type", "application/grpc")};
  int id = -1;
  if (!closed() && !told_to_go_) {
    id = nghttp2_submit_request(session_, nullptr, fields, std::size(fields), &provider, nullptr);
  }
  if (id < 0) {
    // A call that cannot begin has ended: its id is one that HTTP/2 does not give.
    id = streams_.empty() ? -1 : std::min(streams_.begin()->first, 0) - 1;
    End(*stream, UnavailableError("the connection takes no further calls"));
  }
  streams_[id] = std::move(stream);
  return id;
}

void ThreadlessClient::Write(int id, std::string_view message) {
  Stream& stream = *streams_.at(id);
  if (stream.call.status) return;
  const size_t at = BeginMessage(stream.unsent);
  stream.unsent.append(message);
  // EndMessage measures to the end of the text: earlier messages lie before `at`.
  EndMessage(stream.unsent, at);
  if (std::exchange(stream.deferred, false)) nghttp2_session_resume_data(session_, id);
}

void ThreadlessClient::WritesDone(int id) {
  Stream& stream = *streams_.at(id);
  stream.writes_done = true;
  if (stream.call.status) return;
  if (std::exchange(stream.deferred, false)) nghttp2_session_resume_data(session_, id);
}

void ThreadlessClient::Cancel(int id) {
  if (streams_.at(id)->call.status) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
}

const ThreadlessClient::Call& ThreadlessClient::call(int id) const { return streams_.at(id)->call; }

void ThreadlessClient::Forget(int id) {
  CHECK(streams_.at(id)->call.status.has_value());
  streams_.erase(id);
}

void ThreadlessClient::End(Stream& stream, Status status) {
  if (!stream.call.status) stream.call.status = std::move(status);
}

void ThreadlessClient::Disconnect() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  told_to_go_ = true;
  for (auto& [id, stream] : streams_) End(*stream, UnavailableError("the connection has ended"));
}

/// What can be sent and received now. False when the connection has ended.
bool ThreadlessClient::Exchange() {
  for (;;) {
    const uint8_t* bytes = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size <= 0) break;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
  if (!out_.empty()) {
    ssize_t sent = ::send(socket_, out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) out_.erase(0, static_cast<size_t>(sent));
  }
  pollfd look{socket_, static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
  if (::poll(&look, 1, 10) <= 0 || (look.revents & (POLLIN | POLLHUP | POLLERR)) == 0) return true;
  uint8_t buffer[kReadAtOnce];
  ssize_t got = ::recv(socket_, buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return true;
  return got > 0 && nghttp2_session_mem_recv(session_, buffer, static_cast<size_t>(got)) >= 0;
}

bool ThreadlessClient::Drive(const std::function<bool()>& until) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!until()) {
    if (closed()) return until();
    if (!Exchange()) Disconnect();
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

ThreadlessClient::Call ThreadlessClient::Ask(const std::string& path, std::string_view message) {
  const int id = Start(path);
  Write(id, message);
  WritesDone(id);
  Drive([&] { return call(id).status.has_value(); });
  Call answer = call(id);
  if (!answer.status) answer.status = DeadlineExceededError("no answer within the test's patience");
  if (call(id).status) Forget(id);
  return answer;
}

}  // namespace leadsman::rpc
