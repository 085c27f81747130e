// Any bytes as a configuration file: refused with a reason, or read; and what was read survives a
// round trip.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "app/config.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;  // NOLINT: a fuzz target of ten lines
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Config config;
  std::vector<ConfigProblem> problems;
  if (!ParseConfig(text, config, problems)) {
    CHECK(!problems.empty());
    CHECK(!FormatProblems("f", problems).empty());
  } else {
    std::string json = ConfigToJson(config);
    Config again;
    CHECK(ParseConfig(json, again, problems));
    CHECK(ConfigToJson(again) == json);
  }
  Config from_json = ConfigSchema().initial();
  problems.clear();
  if (!schema::ReadJson(text, ConfigSchema(), from_json, problems)) CHECK(!problems.empty());
  return 0;
}
