#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"
#include "intake/envoy_intake.h"

using namespace leadsman;
using namespace leadsman::intake;

namespace {

struct World {
  NullSink sink;
  Registry registry;
  EnvoyIntake intake{{SystemClock(), sink, registry},
                     {.models = {{.path = "/score*", .model = "house", .version = 3}},
                      .max_body = 4096,
                      .max_held_bytes = 8192}};
};

}  // namespace

/// Messages as Envoy sends them. The first byte says which way: even, one of the access log; odd, those of an exchange of
/// ext_proc, each behind two bytes of length.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World& world = *new World();
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    [[maybe_unused]] bool read = world.intake.TakeAccessLog(rest);
    return 0;
  }
  EnvoyExchange exchange;
  CHECK(world.intake.Begin(exchange));
  while (rest.size() >= 2) {
    const size_t length = static_cast<uint8_t>(rest[0]) << 8 | static_cast<uint8_t>(rest[1]);
    const std::string_view bytes = rest.substr(2, length);
    rest.remove_prefix(2 + bytes.size());
    ProcessingMessage message;
    if (!ReadProcessingMessage(bytes, message)) break;
    std::string answer;
    AppendPassOn(message, data[0] % 4 == 3, answer);
    if (!world.intake.Take(exchange, message)) break;
  }
  world.intake.Finish(exchange, static_cast<EnvoyIntake::End>(data[0] / 4 % 4));
  CHECK(world.intake.counters().held_bytes == 0);
  return 0;
}
