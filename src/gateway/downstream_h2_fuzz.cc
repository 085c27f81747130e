// A client of the gateway that speaks HTTP/2: any bytes, in pieces of any size, to a gateway whose endpoints are not there, and which
// keeps bodies and mirrors predictions. The first byte says how they are sent, the rest is what comes behind a client's preface.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"
#include "events/prediction_event.h"
#include "gateway/testing/exchange_list.h"
#include "gateway/worker.h"

using namespace leadsman;           // NOLINT: a fuzz target is one function
using namespace leadsman::gateway;  // NOLINT

namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

Options MakeOptions() {
  Options options;
  options.limits.max_header = 1024;
  options.limits.max_streams = 10;
  options.limits.max_body = 5000;
  ServiceOptions& service = options.services.emplace_back();
  service.name = "digits";
  service.protocol = ServiceOptions::Protocol::kHttp2;
  service.retries.max = 1;
  VersionOptions version;
  version.version = 1;
  version.endpoints = {"nobody.example:80"};  // has no address
  service.versions.push_back(version);
  version.version = 2;
  service.versions.push_back(version);
  service.versions[0].weight = 1;
  service.versions[1].weight = 0;
  service.mirror = MirrorOptions{.version = 2, .max_body = 3000};
  return options;
}

/// What the gateway has sent.
void ReadAll(int socket) {
  char buffer[65536];
  while (recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t how = data[0];
  std::string input(how & 1 ? "" : kPreface);
  input.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool reads = (how & 2) == 0;
  const size_t piece = size_t{1} << (how >> 2 & 15);

  NullSink nobody;
  ExchangeList exchanges(2000, 10'000);
  Shared shared(MakeOptions(), SystemClock(), nobody, &exchanges);
  shared.table()->services[0]->SetMirror();
  auto worker = std::make_shared<Worker>(shared, std::vector<Worker::Listening>{});
  shared.workers.push_back(worker);
  int ends[2];
  CHECK(worker->valid() && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  size_t at = 0;
  std::function<void()> feed = [&] {
    if (at == 0) worker->Admit(ends[1], "127.0.0.1", {});
    const std::string_view part = std::string_view(input).substr(at, piece);
    at += part.size();
    const bool sent =
        !part.empty() && send(ends[0], part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
    if (reads) ReadAll(ends[0]);
    if (sent) return worker->loop().At(worker->now(), feed);
    // All that has been asked for is answered in the turns that follow.
    worker->loop().At(worker->now(), [&] {
      ReadAll(ends[0]);
      worker->BeginDrain(std::chrono::milliseconds(0));
    });
  };
  worker->loop().At(worker->now(), feed);
  worker->Run();
  close(ends[0]);
  CHECK(shared.open == 0);
  CHECK(shared.table()->services[0]->mirror.load()->under_way() == 0);
  while (exchanges.TakePair()) {
  }
  CHECK(shared.table()->services[0]->mirror.load()->bytes->held() == 0);
  return 0;
}
