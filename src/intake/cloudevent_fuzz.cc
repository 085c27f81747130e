// Any bytes as what a logger of a model server sends: the first byte says the mode, and which half comes first.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"
#include "intake/cloud_event_intake.h"

namespace {

using namespace leadsman;
using namespace leadsman::intake;

/// Reads all that an event points to, so that a view that dangles is found.
class ReadingSink final : public Sink {
 public:
  void Emit(const PredictionEvent& event) override {
    CHECK(event.observed && !event.model.empty());
    CHECK(event.version >= 0 && event.unix_ms >= 0);
    for (std::string_view text : {event.model, event.request_id})
      for (char c : text) sum_ = sum_ + static_cast<unsigned char>(c);
    for (std::string_view text : event.predicted)
      for (char c : text) sum_ = sum_ + static_cast<unsigned char>(c);
    for (float value : event.features) sum_ = sum_ + (value > 0 ? 1 : 0);
  }
  bool TryEmit(const PredictionEvent& event) override {
    Emit(event);
    return true;
  }
  uint32_t FeatureStride(size_t) const override { return 1; }

 private:
  volatile uint64_t sum_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t cut = text.find('\0');
  const std::string_view first = text.substr(0, cut);
  const std::string_view second = cut == std::string_view::npos ? "" : text.substr(cut + 1);
  Registry registry;
  ReadingSink sink;
  size_t labels = 0;
  CloudEventIntake intake({SystemClock(), sink, registry,
                           [&](const GroundTruth& label) {
                             CHECK(!label.label.empty());
                             ++labels;
                             return true;
                           }},
                          {.max_waiting = 3, .patience = std::chrono::milliseconds(0)});
  auto offer = [&](const char* type, std::string_view body) {
    auto header = [&](std::string_view name) -> std::string_view {
      if (name == "content-type")
        return data[0] == 's' ? "application/cloudevents+json"
                              : (data[0] == 'c' ? "text/csv" : "application/json");
      if (name == "ce-type") return type;
      return name == "ce-id" ? "r1" : "";
    };
    CHECK(intake.Offer(header, body).ok());
  };
  offer(data[0] == 'f' ? "io.seldon.serving.feedback" : "org.kubeflow.serving.inference.request",
        first);
  offer("io.seldon.serving.inference.response", second);
  intake.RunOnce();
  CHECK(!intake.view().files.empty());
  return 0;
}
