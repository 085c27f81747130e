// Any bytes as the body of POST /api/v1/labels: refused with a reason, or labels with an id each.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "console/label_batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> details;
  auto labels =
      leadsman::console::ParseLabels({reinterpret_cast<const char*>(data), size}, 1, details);
  if (!labels.ok()) {
    CHECK(!labels.status().message().empty());
    return 0;
  }
  for (const auto& label : *labels) CHECK(!label.request_id.empty() && !label.label.empty());
  return 0;
}
