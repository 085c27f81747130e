// Any bytes as the answer of a Prometheus or of a webhook: a reading, with a reason where there is none.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "telemetry/outside_answers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using leadsman::OutsideReading;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const OutsideReading& reading :
       {leadsman::ReadPromqlAnswer(body), leadsman::ReadWebhookAnswer(body)}) {
    CHECK(!std::isnan(reading.value));
    if (reading.kind == OutsideReading::Kind::kNoAnswer) CHECK(!reading.reason.empty());
    CHECK(reading.reason.size() <= 400);
  }
  return 0;
}
