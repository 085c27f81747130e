// Any bytes as a record of a rollout: refused with a reason, or computed to a verdict, which is told.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "rollout/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto report = leadsman::ReplayReport(text, {}, "0.1.0");
  if (!report.ok()) {
    CHECK(report.status().code() == leadsman::StatusCode::kInvalidArgument);
    CHECK(!report.status().message().empty());
    return 0;
  }
  CHECK(report->find("\"agrees\":") != std::string::npos);
  return 0;
}
