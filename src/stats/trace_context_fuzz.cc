// The fields of a trace as anybody may send them: "name: value" lines. What is read must be answered in a form that reads
// as the same trace.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "stats/trace_context.h"

namespace {

void Require(bool condition) {
  if (!condition) abort();
}

leadsman::TraceFields Fields(std::string_view text) {
  leadsman::TraceFields fields;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos) fields.Take(line.substr(0, colon), line.substr(colon + 2));
  }
  return fields;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  leadsman::TraceContext context;
  const bool found = context.Parse(Fields(text));
  Require(found == context.valid());
  Require(context.tracestate.size() <= leadsman::TraceContext::kMaxTraceState);
  context.SetSpanId(size);
  std::string answer;
  context.ForEachAnswerField([&](std::string_view name, std::string_view value) {
    answer.append(name).append(": ").append(value).append("\n");
  });
  Require(found == !answer.empty());
  leadsman::TraceContext again;
  Require(again.Parse(Fields(answer)) == found);
  if (found) {
    Require(again.trace_id == context.trace_id && again.parent_span_id == context.span_id);
    Require(again.sampling == context.sampling ||
            context.sampling == leadsman::TraceContext::Sampling::kUndecided);
  }
  context.Clear();
  Require(!context.valid());
  return 0;
}
