// A whole HTTP/2 connection: any bytes, in pieces of any size, to a handler that does what a handler may do. The first byte
// says how they are sent, the rest is what comes behind a client's preface.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/testing/fake_clock.h"
#include "net/http2_connection.h"
#include "net/http2_server.h"
#include "net/http2_worker.h"

using namespace leadsman::net;  // NOLINT: a fuzz target is one function

namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Echoes. The path's length says how.
class Echo final : public Http2Handler {
 public:
  void OnHead(Http2Stream& stream) override {
    CHECK(stream.state<State>() == nullptr || !stream.State<State>().open);
    stream.State<State>() = {.open = true};
    for (const Http2Stream::Field& field : stream.fields())
      CHECK(!field.name.empty() && field.name[0] != ':');
    stream.patient = stream.path().size() % 2 == 1;
    if (stream.path().size() % 5 == 4) stream.Reset(7);
    const Http2Stream::Field head[] = {{":status", "200"}};
    if (stream.patient) stream.SendHead(head);
  }
  void OnBody(Http2Stream& stream) override {
    if (!stream.state<State>() || !stream.State<State>().open) return;
    if (stream.patient && stream.unsent() > 1000) return stream.TellWhenSent();
    if (stream.patient && !stream.body().empty()) {
      const size_t piece = std::min<size_t>(stream.body().size(), 100);
      stream.SendBody(stream.body().substr(0, piece));
      stream.Take(piece);
      return stream.CallAgain();
    }
    if (!stream.half_closed()) return stream.ExpectBody(stream.body().size() + 10);
    const Http2Stream::Field head[] = {{":status", "200"}};
    const Http2Stream::Field end[] = {{"end", "yes", false}};
    stream.SendHead(head);
    stream.SendBody(stream.body());
    stream.SendTrailers(end);
  }
  void OnClose(Http2Stream& stream, bool /*complete*/) override {
    CHECK(stream.gone());
    stream.State<State>().open = false;
    if (stream.path().size() % 3 == 0) stream.DropState();
  }
  void OnAlarm(Http2Stream& /*stream*/) override {}
  void OnRefuse(Http2Stream& stream, const leadsman::Status& /*why*/) override {
    const Http2Stream::Field fields[] = {{":status", "503"}};
    stream.SendTrailers(fields);
  }

 private:
  struct State {
    bool open = false;
  };
};

/// What the server has sent.
size_t ReadAll(int socket) {
  char buffer[65536];
  size_t total = 0;
  for (ssize_t n; (n = recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0;)
    total += static_cast<size_t>(n);
  return total;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t how = data[0];
  std::string input(how & 1 ? "" : kPreface);
  input.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool reads = (how & 2) == 0;
  const size_t piece = size_t{1} << (how >> 2 & 15);

  static leadsman::FakeClock clock;
  Echo echo;
  auto shared = std::make_shared<Http2Shared>();
  shared->handler = &echo;
  shared->options.clock = &clock;
  shared->options.max_header_bytes = 500;
  shared->options.max_body_bytes = 5000;
  shared->options.max_streams = 10;
  auto worker = std::make_shared<Http2Worker>(shared, -1);
  int ends[2];
  CHECK(worker->valid() && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  CHECK(worker->Connect(ends[1]));
  for (size_t at = 0; at < input.size(); at += piece) {
    const std::string_view part = std::string_view(input).substr(at, piece);
    if (send(ends[0], part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL) <= 0) break;
    worker->RunOnce(std::chrono::milliseconds(0));
    if (reads) ReadAll(ends[0]);
  }
  for (int i = 0; i < 4; ++i) {
    worker->RunOnce(std::chrono::milliseconds(0));
    ReadAll(ends[0]);
  }
  close(ends[0]);
  worker->BeginShutdown(std::chrono::milliseconds(0));
  worker->Run();
  CHECK(shared->open == 0);
  return 0;
}
