#include "monitor/monitor.h"

#include <algorithm>

#include "base/strings.h"
#include "monitor/monitor_impl.h"

namespace leadsman {
namespace {

constexpr size_t kMaxLabelQueue = 64 << 10;
constexpr size_t kMaxLabelBytes = 255;
constexpr size_t kMaxReceiptErrors = 10;

}  // namespace

Result<std::unique_ptr<Monitor>> Monitor::Create(Deps deps, MonitorOptions options,
                                                 std::map<std::string, MonitorConfig> models) {
  auto impl = std::make_unique<Impl>(deps, std::move(options), std::move(models));
  RETURN_IF_ERROR(impl->Restore());
  RETURN_IF_ERROR(impl->OpenLabels());
  if (impl->database) RETURN_IF_ERROR(impl->RestoreSeen());
  impl->Start(deps.registry);
  return std::unique_ptr<Monitor>(new Monitor(std::move(impl)));
}

void Monitor::Emit(const PredictionEvent& event) {
  ByteRing* ring = impl_->rings.ForThisThread();
  if (ring == nullptr) return;  // counted by the set
  if (!Put(event, *ring)) ring->CountDrop();
}

bool Monitor::TryEmit(const PredictionEvent& event) {
  ByteRing* ring = impl_->rings.ForThisThread();
  if (ring == nullptr || Put(event, *ring)) return true;
  impl_->control_changed.NotifyAll();  // somebody waits: the collector need not sleep on
  return false;
}

bool Monitor::Put(const PredictionEvent& event, ByteRing& ring) {
  size_t features = std::min(event.features.size(), VersionProfile::kMaxFeatures);
  size_t bound = EncodedSizeBound(event, features);
  if (bound > ring.max_record()) {
    // A small ring and a wide input: the rest of the event is worth more than the features.
    features = 0;
    bound = EncodedSizeBound(event, 0);
  }
  std::byte* to = ring.TryReserve(bound);
  if (to == nullptr) return false;
  ring.Commit(EncodeEvent(event, features, to));
  return true;
}

uint32_t Monitor::FeatureStride(size_t width) const {
  const size_t wide = std::max<size_t>(impl_->options.wide_input, 1);
  return width <= wide ? 1 : static_cast<uint32_t>((2 * width + wide - 1) / wide);
}

std::shared_ptr<FeatureNames> Monitor::NamesOf(std::string_view model) {
  return impl_->names.Of(model);
}

std::span<const SegmentRule> Monitor::SegmentsOf(std::string_view model) const {
  auto config = impl_->configs.find(std::string(model));
  if (config == impl_->configs.end()) return {};
  return config->second.segments;
}

LabelReceipt Monitor::AddLabels(std::vector<GroundTruth> labels,
                                std::span<const std::string> places) {
  LabelReceipt receipt;
  auto reject = [&](size_t index, std::string reason) {
    ++receipt.rejected;
    ++impl_->labels_rejected;
    if (receipt.errors.size() < kMaxReceiptErrors) {
      receipt.errors.push_back(StrCat(
          index < places.size() ? places[index] : StrCat("labels[", index, "]"), ": ", reason));
    }
  };
  std::vector<std::pair<size_t, GroundTruth>> good;
  good.reserve(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    GroundTruth& label = labels[i];
    if (label.request_id.empty()) {
      reject(i, "request_id is empty");
    } else if (label.request_id.size() > kMaxRequestId) {
      reject(i, StrCat("request_id is longer than ", kMaxRequestId, " bytes"));
    } else if (label.row >= PredictionEvent::kMaxPredictions) {
      reject(i, StrCat("row ", label.row, " is not kept: only the first ",
                       PredictionEvent::kMaxPredictions, " rows of a request are (0 to ",
                       PredictionEvent::kMaxPredictions - 1, ")"));
    } else if (label.label.empty()) {
      reject(i, "label is empty");
    } else if (label.label.size() > kMaxLabelBytes) {
      reject(i, StrCat("label is longer than ", kMaxLabelBytes, " bytes"));
    } else {
      good.emplace_back(i, std::move(label));
    }
  }
  MutexLock lock(impl_->inbox_mutex);
  for (auto& [index, label] : good) {
    if (impl_->inbox.size() >= kMaxLabelQueue) {
      receipt.full = true;
      reject(index, "the label queue is full; send it again later");
      continue;
    }
    impl_->inbox.push_back(std::move(label));
    ++receipt.accepted;
  }
  return receipt;
}

bool Monitor::TryAddLabel(const GroundTruth& label) {
  {
    MutexLock lock(impl_->inbox_mutex);
    if (impl_->inbox.size() >= kMaxLabelQueue) return false;
  }
  return !AddLabels({label}).full;  // others may have filled it since
}

void Monitor::CountLosses(const std::string& model, const LossMeasure& measure) {
  MutexLock lock(impl_->state_mutex);
  impl_->ModelOf(model).loss = measure;
}

void Monitor::Forget(const std::string& model, int64_t version) {
  MutexLock lock(impl_->inbox_mutex);
  impl_->to_forget.emplace_back(model, version);
}

bool Monitor::Flush(std::chrono::milliseconds timeout) {
  // Real time, as all waiting is: the given clock may stand still.
  const auto until = SystemClock().SteadyNow() + timeout;
  MutexLock lock(impl_->control_mutex);
  const uint64_t mine = ++impl_->flush_wanted;
  impl_->control_changed.NotifyAll();
  while (impl_->flush_done < mine) {
    auto left = until - SystemClock().SteadyNow();
    if (left <= Duration::zero()) return false;
    impl_->control_changed.WaitFor(impl_->control_mutex, left);
  }
  return impl_->flush_ok;
}

}  // namespace leadsman
