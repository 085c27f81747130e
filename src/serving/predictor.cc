#include "serving/predictor.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "serving/batch_size.h"
#include "serving/metrics.h"
#include "serving/predicted_class.h"
#include "serving/queued_execution.h"
#include "serving/version_runtime.h"

namespace leadsman {
namespace {

constexpr size_t kListedNames = 10;
constexpr size_t kShownName = 128;

/// A client's text in an error message, cut to a bearable length.
std::string_view Shown(std::string_view name) { return CutUtf8(name, kShownName); }

std::string ListModels(const ServableTable& table) {
  std::vector<std::string> names;
  for (const auto& [name, model] : table.models) names.push_back(name);
  std::sort(names.begin(), names.end());
  size_t more = names.size() > kListedNames ? names.size() - kListedNames : 0;
  names.resize(names.size() - more);
  std::string list = HumanList(names);
  if (more > 0) list += StrCat(" (and ", more, " more)");
  return list;
}

std::string ListReady(const ServableTable::Model& model) {
  std::vector<std::string> versions;
  for (const auto& [version, handle] : model.ready) versions.push_back(std::to_string(version));
  return HumanList(versions);
}

Status NoSuchModel(const ModelSelector& selector, const ServableTable& table) {
  std::string name(Shown(selector.model));
  std::string asked = selector.version ? StrCat("Specific(", name, ", ", *selector.version, ")")
                                       : StrCat("Latest(", name, ")");
  std::string message =
      StrCat("Servable not found for request: ", asked, "; models here: ", ListModels(table));
  std::vector<std::string> names;
  for (const auto& [known, model] : table.models) names.push_back(known);
  if (auto meant = DidYouMean(name, names)) message += StrCat("; did you mean ", *meant, "?");
  return NotFoundError(std::move(message));
}

/// "version 3 is loading", "version 3 has failed: file is truncated", or nothing.
std::string Explain(const LifecycleManager& lifecycle, const std::string& model,
                    std::optional<int64_t> only) {
  Result<ModelStatus> status = lifecycle.GetStatus(model);
  if (!status.ok()) return "";
  std::string text;
  for (const VersionStatus& v : status->versions) {
    if (only && v.version != *only) continue;
    if (v.state == VersionState::kGone && !only) continue;
    text +=
        StrCat(text.empty() ? "" : "; ", "version ", v.version, " is ", VersionStateName(v.state));
    if (!v.status.ok()) text += StrCat(" (", v.status.message(), ")");
  }
  if (text.empty()) text = only ? NoteAbout(*status, *only) : status->note;
  return text;
}

/// The state of a version that is on its way into memory; nothing for one that will not come: failed, on its way out,
/// gone, or without all of its files.
std::optional<VersionState> OnItsWay(const ModelStatus& status, int64_t version) {
  for (const VersionStatus& v : status.versions) {
    if (v.version != version) continue;
    bool coming = (v.state == VersionState::kNew && v.status.ok()) || IsOnItsWay(v.state);
    if (coming) return v.state;
  }
  return std::nullopt;
}

const Handle* Lookup(const ServableTable::Model& model, int64_t version) {
  auto it = model.ready.find(version);
  return it == model.ready.end() ? nullptr : &it->second;
}

Rng& ThreadRng() {
  thread_local Rng rng(RandomSeed());
  return rng;
}

}  // namespace

std::string NoteAbout(const ModelStatus& model, int64_t version) {
  if (model.versions.empty()) return model.note;
  const std::string number = std::to_string(version);
  std::string about;
  for (std::string_view part : Split(model.note, ';')) {
    part = Trim(part);
    std::string_view rest = part;
    bool names_it = part.starts_with(number + ":");
    for (const std::string named = "version " + number; !names_it;) {
      size_t at = rest.find(named);
      if (at == std::string_view::npos) break;
      rest.remove_prefix(at + named.size());
      names_it = rest.empty() || rest[0] < '0' || rest[0] > '9';
    }
    if (names_it) about += StrCat(about.empty() ? "" : "; ", part);
  }
  return about;
}

void PredictionCall::Reset() {
  protocol = Protocol::kUnknown;
  api = TfServingApi::kUncounted;
  request_id.clear();
  trace.Clear();
  received = {};
  deadline.reset();
  request_bytes = 0;
  input_count = 0;
  rows = 1;
  signature = 0;
  priority = 0;
  model_name.clear();
  outputs = {};
  lease.Release();
  batch.reset();
  handle.reset();
  drawn = false;
  feature_stride = 0;
  for (std::string& value : segment_headers) value.clear();
  status = OkStatus();
  decode_ns = compute_ns = queue_ns = input_ns = output_ns = 0;
  executed_rows = 0;
}

void PredictionCall::ViewInputs() {
  input_views.clear();
  for (size_t i = 0; i < input_count; ++i) {
    if (inputs[i].type() != DataType::kInvalid) input_views.push_back(inputs[i].View());
  }
}

struct Predictor::Impl {
  Impl(Deps d, Options o)
      : deps(d),
        options(WithoutEmpty(std::move(o))),
        segments(options.segments),
        watched(std::make_shared<const WatchedMap>(options.watched.begin(), options.watched.end())),
        any_watched(!options.watched.empty()),
        queues(
            d.clock,
            {.pool_threads = options.pool_threads,
             .pool_queue = options.pool_queue,
             .pool_queue_bytes = options.pool_queue_bytes,
             .default_timeout = options.default_timeout},
            d.metrics ? &d.metrics->batching : nullptr, d.metrics ? d.metrics->pool : nullptr,
            [this](PredictionCall& call) { Run(call); },
            [this](PredictionCall& call, const ContextPool::Lease& lease) {
              ChooseFeatures(call, lease);
            }) {}

  using WatchedMap = std::map<std::string, WatchedPart, std::less<>>;

  /// Models that name nothing must not cost every request a look into the map.
  static Options WithoutEmpty(Options options) {
    std::erase_if(options.watched, [](const auto& entry) { return entry.second == WatchedPart(); });
    return options;
  }

  /// For `call`, which may be null: then nothing is drawn. Its `model_name` is set as soon as the model is known, for
  /// the error's metric; `drawn` as well.
  Result<Handle> Choose(const ModelSelector& selector, PredictionCall* call) const;
  Result<Handle> ByLabel(const ModelSelector& selector, const ServableTable::Model& model) const;
  Status NotReady(const ModelSelector& selector, const ServableTable::Model& model,
                  int64_t version) const;
  /// For a route whose stable version is not ready; `model` has some version that is.
  Result<Handle> InPlaceOfStable(const ModelSelector& selector, const RouteTable::Route& route,
                                 const ServableTable::Model& model) const;
  void Run(PredictionCall& call);
  Status RunModel(PredictionCall& call);
  /// The part that is named for a model, and what keeps it alive.
  struct Watched {
    std::shared_ptr<const WatchedMap> map;
    const WatchedPart* part = nullptr;  ///< null: nothing is named
  };
  Watched WatchedOf(std::string_view model) {
    Watched found;
    // Relaxed: only says whether a look into the snapshot, which synchronises, is worth it.
    if (!any_watched.load(std::memory_order_relaxed)) return found;
    found.map = watched.Get();
    auto it = found.map->find(model);
    if (it != found.map->end()) found.part = &it->second;
    return found;
  }
  void ChooseFeatures(PredictionCall& call, const ContextPool::Lease& lease);
  void FillFeatures(PredictionCall& call, PredictionEvent& event);

  Deps deps;
  Options options;
  const SegmentReader segments;
  Snapshot<RouteTable> routes;
  Mutex watched_mutex;  ///< serialises writers of `watched`
  Snapshot<WatchedMap> watched;
  std::atomic<bool> any_watched;
  std::atomic<bool> settled{false};
  QueuedExecution queues;  ///< last: its threads use everything above
};

Predictor::Predictor(Deps deps, Options options)
    : impl_(std::make_unique<Impl>(deps, std::move(options))) {}
Predictor::~Predictor() = default;

Status Predictor::Prepare(const ServableVersion& version) { return impl_->queues.Prepare(version); }

bool Predictor::Stop(std::chrono::milliseconds wait) { return impl_->queues.Stop(wait); }

bool Predictor::Cancel(PredictionCall& call) { return impl_->queues.Cancel(call); }
void Predictor::Drain() { impl_->queues.Drain(); }

Status Predictor::Impl::NotReady(const ModelSelector& selector, const ServableTable::Model& model,
                                 int64_t version) const {
  std::string name(selector.model);
  std::string message =
      StrCat("Servable not found for request: Specific(", name, ", ", version, ")");
  std::string why = Explain(deps.lifecycle, name, version);
  if (!why.empty()) message += StrCat("; ", why);
  return NotFoundError(StrCat(message, "; ready versions: ", ListReady(model)));
}

std::map<std::string, int64_t> RouteTable::Route::Labels() const {
  std::map<std::string, int64_t> labels;
  if (stable != 0) labels["stable"] = stable;
  if (candidate != 0) labels["canary"] = candidate;
  return labels;
}

Result<Handle> Predictor::Impl::ByLabel(const ModelSelector& selector,
                                        const ServableTable::Model& model) const {
  std::string label(selector.label);
  auto configured = model.labels.find(label);
  if (configured != model.labels.end()) {
    if (const Handle* handle = Lookup(model, configured->second)) return *handle;
    return NotReady(selector, model, configured->second);
  }
  std::shared_ptr<const RouteTable> table = routes.Get();
  auto route = table->routes.find(selector.model);
  std::vector<std::string> known;
  for (const auto& [name, version] : model.labels) known.push_back(name);
  if (route != table->routes.end()) {
    for (const auto& [name, version] : route->second.Labels()) {
      if (name != label) {
        known.push_back(name);
        continue;
      }
      if (const Handle* handle = Lookup(model, version)) return *handle;
      return NotReady(selector, model, version);
    }
  }
  return InvalidArgumentError(StrCat("Unrecognized servable version label: ", Shown(selector.label),
                                     "; labels of ", selector.model, ": ", HumanList(known)));
}

Result<Handle> Predictor::Impl::InPlaceOfStable(const ModelSelector& selector,
                                                const RouteTable::Route& route,
                                                const ServableTable::Model& model) const {
  for (auto it = model.ready.rbegin(); it != model.ready.rend(); ++it) {
    if (it->first != route.candidate) return it->second;
  }
  std::string name(selector.model);
  Result<ModelStatus> status = deps.lifecycle.GetStatus(name);
  std::optional<VersionState> state;
  if (status.ok()) state = OnItsWay(*status, route.stable);
  if (state) {
    return UnavailableError(StrCat("Servable not found for request: Latest(", name, "); version ",
                                   route.stable, ", its stable version, is ",
                                   VersionStateName(*state)));
  }
  // It may have become ready since `model` was read.
  std::shared_ptr<const ServableTable> table = deps.lifecycle.table().Get();
  auto now = table->models.find(selector.model);
  if (now != table->models.end()) {
    if (const Handle* handle = Lookup(now->second, route.stable)) return *handle;
  }
  return model.ready.rbegin()->second;
}

Result<Handle> Predictor::Impl::Choose(const ModelSelector& selector, PredictionCall* call) const {
  std::shared_ptr<const ServableTable> table = deps.lifecycle.table().Get();
  auto it = table->models.find(selector.model);
  if (it == table->models.end()) return NoSuchModel(selector, *table);
  if (call != nullptr) call->model_name.assign(it->first);
  const ServableTable::Model& model = it->second;

  if (selector.version) {
    if (const Handle* handle = Lookup(model, *selector.version)) return *handle;
    return NotReady(selector, model, *selector.version);
  }
  if (!selector.label.empty()) return ByLabel(selector, model);

  std::shared_ptr<const RouteTable> route_table = routes.Get();
  auto route = route_table->routes.find(selector.model);
  if (route != route_table->routes.end()) {
    const RouteTable::Route& r = route->second;
    const bool split = call != nullptr && r.candidate != 0 && r.candidate_share > 0;
    const bool to_candidate = split && ThreadRng().Below(10'000) < r.candidate_share;
    if (to_candidate) {
      if (const Handle* handle = Lookup(model, r.candidate)) {
        call->drawn = true;
        return *handle;
      }
    }
    if (const Handle* handle = Lookup(model, r.stable)) {
      // In the place of a candidate that is not there, the stable version was not drawn.
      if (split) call->drawn = !to_candidate;
      return *handle;
    }
    if (!model.ready.empty()) return InPlaceOfStable(selector, r, model);
  }
  if (!model.ready.empty()) return model.ready.rbegin()->second;

  std::string name(selector.model);
  std::string why = Explain(deps.lifecycle, name, std::nullopt);
  return UnavailableError(StrCat("Servable not found for request: Latest(", name,
                                 "); the model has no ready version yet", why.empty() ? "" : ": ",
                                 why));
}

Status Predictor::Admit(const ModelSelector& selector, PredictionCall& call) {
  if (impl_->deps.metrics != nullptr) impl_->deps.metrics->Started();
  call.drawn = false;
  Result<Handle> handle = impl_->Choose(selector, &call);
  if (!handle.ok()) return handle.status();
  call.handle = std::move(handle).value();
  if (call.deadline && impl_->deps.clock.SteadyNow() >= *call.deadline) {
    return DeadlineExceededError("the request's deadline had passed when it arrived");
  }
  return OkStatus();
}

Result<Handle> Predictor::Find(const ModelSelector& selector) const {
  return impl_->Choose(selector, nullptr);
}

Status Predictor::Impl::RunModel(PredictionCall& call) {
  SteadyTime start = deps.clock.SteadyNow();
  if (call.deadline && start >= *call.deadline) {
    return DeadlineExceededError("the request's deadline passed before the model could run");
  }
  if (call.decode_ns == 0) {  // else it was in a queue
    call.decode_ns = static_cast<uint64_t>(std::max<int64_t>((start - call.received).count(), 0));
  }
  ASSIGN_OR_RETURN(call.lease, ContextPool::Of(*call.handle, call.signature).Acquire());
  call.ViewInputs();
  ExecutionContext& context = call.lease.context();
  Result<std::span<const TensorView>> outputs =
      call.deadline ? context.ExecuteBefore(*call.deadline, call.input_views)
                    : context.Execute(call.input_views);
  call.compute_ns =
      static_cast<uint64_t>(std::max<int64_t>((deps.clock.SteadyNow() - start).count(), 1));
  if (!outputs.ok()) return outputs.status();
  call.outputs = *outputs;
  call.executed_rows = call.rows;
  ChooseFeatures(call, call.lease);
  return OkStatus();
}

void Predictor::Impl::Run(PredictionCall& call) {
  // A pool thread has nobody above it: what is thrown here (no memory) would end the process, and
  // the call would never be finished.
  try {
    call.status = RunModel(call);
  } catch (const std::exception& e) {
    call.outputs = {};
    call.status = InternalError(StrCat("the model could not be run: ", e.what()));
  }
}

bool Predictor::Execute(PredictionCall& call, std::function<void()> done) {
  if (Status fits = CheckBatchSize(call); !fits.ok()) {
    call.status = std::move(fits);
    done();
    return true;
  }
  const bool in_turns = call.handle->rows_together > 0;
  if (in_turns && impl_->queues.SubmitToTurn(call, done)) return false;
  if (in_turns || call.handle->run_inline) {
    impl_->Run(call);
    done();
    return true;
  }
  return impl_->queues.Submit(call, std::move(done));
}

namespace {

/// The input that the monitor's features are of: the first of numbers that it can read. Null when
/// there is none, or it has no values.
const TensorView* FeatureInput(const PredictionCall& call) {
  for (const TensorView& input : call.input_views) {
    if (input.type == DataType::kBytes || input.type == DataType::kFp16 ||
        input.type == DataType::kBf16)
      continue;
    size_t rows = input.shape.rank() > 0 ? static_cast<size_t>(input.shape[0]) : 1;
    return rows == 0 || input.element_count == 0 ? nullptr : &input;
  }
  return nullptr;
}

/// Whether the call is of the signature that is watched: others have other inputs and answers, which would be taken for a change.
bool IsWatched(const PredictionCall& call, const WatchedPart* part) {
  size_t index = 0;
  if (part != nullptr && !part->signature.empty()) {
    std::span<const NamedSignature> all = call.handle->model->signatures();
    auto named = std::find_if(all.begin(), all.end(), [&](const NamedSignature& one) {
      return one.name == part->signature;
    });
    if (named != all.end()) index = static_cast<size_t>(named - all.begin());
  }
  return call.signature == index;
}

size_t FeatureWidth(const TensorView& input) {
  size_t rows = input.shape.rank() > 0 ? static_cast<size_t>(input.shape[0]) : 1;
  return static_cast<size_t>(input.element_count) / rows;
}

}  // namespace

void Predictor::Impl::ChooseFeatures(PredictionCall& call, const ContextPool::Lease& lease) {
  call.feature_stride = 0;
  const Watched named = WatchedOf(call.model_name);
  if (!IsWatched(call, named.part)) return;
  const TensorView* input = FeatureInput(call);
  if (input == nullptr) return;
  uint32_t stride = deps.sink.FeatureStride(FeatureWidth(*input));
  if (lease.TakeSample(stride)) call.feature_stride = stride;
}

void Predictor::Impl::FillFeatures(PredictionCall& call, PredictionEvent& event) {
  const TensorView* found = call.feature_stride > 0 ? FeatureInput(call) : nullptr;
  if (found == nullptr) return;
  const TensorView& input = *found;
  const size_t width = FeatureWidth(input);
  event.feature_weight = static_cast<float>(call.feature_stride);
  if (input.type == DataType::kFp32) {
    event.features = input.as<float>().first(width);
    return;
  }
  call.features.resize(width);
  auto convert = [&](auto values) {
    for (size_t i = 0; i < width; ++i) call.features[i] = static_cast<float>(values[i]);
  };
  switch (input.type) {
    case DataType::kBool:
    case DataType::kUint8:
      convert(input.as<uint8_t>());
      break;
    case DataType::kUint16:
      convert(input.as<uint16_t>());
      break;
    case DataType::kUint32:
      convert(input.as<uint32_t>());
      break;
    case DataType::kUint64:
      convert(input.as<uint64_t>());
      break;
    case DataType::kInt8:
      convert(input.as<int8_t>());
      break;
    case DataType::kInt16:
      convert(input.as<int16_t>());
      break;
    case DataType::kInt32:
      convert(input.as<int32_t>());
      break;
    case DataType::kInt64:
      convert(input.as<int64_t>());
      break;
    case DataType::kFp64:
      convert(input.as<double>());
      break;
    default:
      return;
  }
  event.features = call.features;
}

void Predictor::Finish(PredictionCall& call, const Status& status, size_t response_bytes) {
  const Deps& deps = impl_->deps;
  PredictionEvent event;
  event.model = call.model_name;
  event.protocol = call.protocol;
  event.outcome = status.code();
  event.latency_ns =
      static_cast<uint64_t>(std::max<int64_t>((deps.clock.SteadyNow() - call.received).count(), 0));
  event.compute_ns = call.compute_ns;
  event.decode_ns = call.decode_ns;
  event.queue_ns = call.queue_ns;
  event.batch_ns = call.input_ns;
  if (call.handle) {
    event.version = call.handle->version;
    event.version_id = call.handle->id;
    event.drawn = call.drawn;
  }
  const WallTime wall = deps.clock.Now();
  event.unix_ms = UnixMillis(wall);
  event.unix_ns = UnixNanos(wall);
  if (deps.metrics != nullptr) {
    auto inferences = [&](uint32_t rows) {
      return call.handle ? call.handle->InferencesOf(rows) : rows;
    };
    deps.metrics->Finished(call.handle.get(), call.model_name, call.protocol, call.api,
                           status.code(),
                           {.latency_ns = event.latency_ns,
                            .queue_ns = call.queue_ns,
                            .input_ns = call.input_ns,
                            .compute_ns = call.compute_ns,
                            .output_ns = call.output_ns,
                            .executed_rows = inferences(call.executed_rows)},
                           inferences(call.rows), event.unix_ms);
  }
  // An unknown model's name is the client's invention: no event, or every typo would open a
  // profile. In a client's trace the request has its place all the same, without the name.
  if (!call.model_name.empty() || call.trace.valid()) {
    event.rows = call.rows;
    event.request_bytes = call.request_bytes;
    event.response_bytes = static_cast<uint32_t>(std::min<size_t>(response_bytes, UINT32_MAX));
    event.request_id = call.request_id;
    event.traced = call.trace.valid();
    event.trace_id = call.trace.trace_id;
    event.span_id = call.trace.span_id;
    event.parent_span_id = call.trace.parent_span_id;
    event.trace_sampled = call.trace.sampled();
    PredictedClasses predicted;
    Segments segments;
    const bool answered = status.ok() && !call.outputs.empty();
    const auto watched = answered ? impl_->WatchedOf(call.model_name) : Impl::Watched();
    const bool seen = answered && IsWatched(call, watched.part);
    if (!impl_->segments.empty()) {
      // Views of a request that was not run may be of the one before.
      const auto inputs =
          seen ? std::span<const TensorView>(call.input_views) : std::span<const TensorView>();
      segments.Extract(impl_->segments.RulesOf(call.model_name), call.segment_headers, inputs);
      event.segments = segments.values();
    }
    if (seen) {
      predicted.Extract(call.outputs, call.rows,
                        watched.part == nullptr ? "" : std::string_view(watched.part->output));
      event.predicted = predicted.classes();
      event.answer = predicted.answer();
      event.score = predicted.score();
      event.score_of = predicted.row_scores().of();
      event.row_scores = predicted.row_scores().values();
      event.class_scores = predicted.row_scores().class_scores();
      impl_->FillFeatures(call, event);
    }
    deps.sink.Emit(event);
  }
  call.outputs = {};
  call.lease.Release();
  call.batch.reset();
  call.handle.reset();
}

void Predictor::SetWatched(const std::string& model, const WatchedPart& part) {
  MutexLock lock(impl_->watched_mutex);
  auto next = std::make_shared<Impl::WatchedMap>(*impl_->watched.Get());
  if (part == WatchedPart()) {
    next->erase(model);
  } else {
    (*next)[model] = part;
  }
  bool any = !next->empty();
  impl_->watched.Set(std::move(next));
  impl_->any_watched.store(any);
}

const SegmentReader& Predictor::segments() const { return impl_->segments; }

void Predictor::SetRoutes(std::shared_ptr<const RouteTable> routes) {
  impl_->routes.Set(std::move(routes));
}
std::shared_ptr<const RouteTable> Predictor::routes() const { return impl_->routes.Get(); }
LifecycleManager& Predictor::lifecycle() { return impl_->deps.lifecycle; }

std::vector<ModelStatistics> Predictor::Statistics(std::string_view model,
                                                   std::optional<int64_t> version) const {
  if (impl_->deps.metrics == nullptr) return {};
  std::map<std::pair<std::string, int64_t>, ModelStatistics> by_version;
  for (ModelStatistics& one : impl_->deps.metrics->Statistics(model, version)) {
    std::pair<std::string, int64_t> key(one.model, one.version);
    by_version.emplace(std::move(key), std::move(one));
  }
  std::shared_ptr<const ServableTable> table = impl_->deps.lifecycle.table().Get();
  for (const auto& [name, entry] : table->models) {
    if (!model.empty() && name != model) continue;
    for (const auto& [number, handle] : entry.ready) {
      if (version && number != *version) continue;
      ModelStatistics& one = by_version[{name, number}];
      one.model = name;
      one.version = number;
      one.pending = std::max<int64_t>(VersionRuntime::Of(*handle).waiting.load(), 0);
    }
  }
  std::vector<ModelStatistics> all;
  for (auto& [key, one] : by_version) all.push_back(std::move(one));
  return all;
}

std::vector<std::string> Predictor::AwaitedVersions() const {
  std::vector<std::string> awaited;
  std::shared_ptr<const RouteTable> table = impl_->routes.Get();
  for (const auto& [name, route] : table->routes) {
    if (route.stable == 0) continue;
    Result<ModelStatus> status = impl_->deps.lifecycle.GetStatus(name);
    if (!status.ok()) continue;
    if (std::optional<VersionState> state = OnItsWay(*status, route.stable)) {
      awaited.push_back(StrCat("model ", name, ": version ", route.stable,
                               ", its stable version, is ", VersionStateName(*state)));
    }
  }
  std::sort(awaited.begin(), awaited.end());
  return awaited;
}

std::vector<std::string> Predictor::Computing() const {
  std::vector<std::string> computing;
  std::shared_ptr<const ServableTable> table = impl_->deps.lifecycle.table().Get();
  for (const auto& [name, entry] : table->models) {
    for (const auto& [version, handle] : entry.ready) {
      if (VersionRuntime::Of(*handle).running.load(std::memory_order_relaxed) > 0)
        computing.push_back(StrCat(name, ":", version));
    }
  }
  std::sort(computing.begin(), computing.end());
  return computing;
}

bool Predictor::SettledOnce() const {
  if (impl_->settled.load()) return true;
  if (!impl_->deps.lifecycle.SettledOnce() || !AwaitedVersions().empty()) return false;
  impl_->settled.store(true);
  return true;
}

}  // namespace leadsman
