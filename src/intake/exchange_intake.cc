#include "intake/exchange_intake.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/start_thread.h"
#include "intake/record_payload.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

constexpr std::chrono::milliseconds kTick = 250ms;
constexpr std::chrono::milliseconds kRoomWait = 1ms;
/// What the sink is waited for before an event is dropped, and counted by it.
constexpr std::chrono::milliseconds kPatience = 1s;
constexpr std::chrono::seconds kLastWait = 5s;
constexpr size_t kMaxId = 256;  // as of X-Request-Id
/// What the thread is woken for: fewer wait for its tick.
constexpr size_t kPairsToWake = 32;
constexpr size_t kMaxSources = 4096;

std::map<std::string, uint64_t> ByResult(const BodyCounters& c) {
  return {{"decoded", c.decoded.load()},   {"not_understood", c.not_understood.load()},
          {"too_long", c.too_long.load()}, {"no_memory", c.no_memory.load()},
          {"encoding", c.encoding.load()}, {"content_type", c.other_type.load()},
          {"absent", c.absent.load()}};
}

}  // namespace

struct ExchangeIntake::Impl {
  using Counter = std::atomic<uint64_t>;

  Impl(Deps d, Options o)
      : deps(d),
        options(std::move(o)),
        budget(std::make_shared<ByteBudget>(options.max_held_bytes)),
        bodies(options.max_body),
        payload(deps.sink),
        comparer(options.max_body),
        shadows(deps.shadows ? deps.shadows : std::make_shared<ShadowBook>()) {
    AddMetrics();
  }

  void AddMetrics() {
    auto sample = [](std::vector<std::string> labels, uint64_t value) {
      MetricSample s;
      s.label_values = std::move(labels);
      s.value = static_cast<double>(value);
      return s;
    };
    auto add = [&](const char* name, const char* help, MetricType type,
                   std::vector<std::string> labels, Registry::Reader read) {
      registrations.push_back(
          deps.registry.Add({name, help, type, std::move(labels)}, std::move(read)));
    };
    add("leadsman_gateway_exchanges_total",
        "Predictions with a body that passed, by what came of the copies of their bodies: decoded "
        "= "
        "told of with features or predictions; bare = neither body could be read "
        "(leadsman_gateway_bodies_total says why); dropped = more than gateway.decode.max_queue "
        "waited; unsampled = left out by a route's decode.sample. All are told of.",
        MetricType::kCounter, {"result"}, [this, sample] {
          return std::vector<MetricSample>{sample({"decoded"}, decoded), sample({"bare"}, bare),
                                           sample({"dropped"}, dropped),
                                           sample({"unsampled"}, unsampled)};
        });
    add("leadsman_gateway_bodies_total",
        "Bodies of those predictions by what came of them; those of answers only when the request "
        "succeeded: decoded = into features or predictions; not_understood = of no known form, or "
        "without the fields that the route maps; too_long = above gateway.decode.max_body; "
        "no_memory = beyond gateway.decode.max_held_bytes; encoding = content-encoding, or "
        "grpc-encoding, unknown, or broken, or too long inflated; content_type = of a type that "
        "holds no predictions, as an image, or a message of another call of gRPC; absent = none "
        "came.",
        MetricType::kCounter, {"side", "result"}, [this, sample] {
          std::vector<MetricSample> samples;
          for (const auto& [side, counters] :
               {std::pair("request", &request_bodies), std::pair("response", &response_bodies)}) {
            for (const auto& [result, count] : ByResult(*counters))
              samples.push_back(sample({side, result}, count));
          }
          return samples;
        });
    add("leadsman_gateway_held_bytes", "Copies of bodies that are held until they are decoded.",
        MetricType::kGauge, {},
        [this, sample] { return std::vector<MetricSample>{sample({}, budget->held())}; });
    add("leadsman_gateway_mirror_uncompared_total",
        "Answers of mirrors' versions that were not compared: more than gateway.decode.max_queue "
        "waited, or there was no memory.",
        MetricType::kCounter, {},
        [this, sample] { return std::vector<MetricSample>{sample({}, uncompared)}; });
    for (auto& registration : shadows->AddMetrics(deps.registry))
      registrations.push_back(std::move(registration));
  }

  bool Offer(std::unique_ptr<ExchangeCopy> copy) {
    MutexLock lock(mutex);
    if (waiting >= options.max_queue || stop) {
      ++dropped;
      return false;
    }
    queue.push_back(std::move(copy));
    ++waiting;
    // The thread takes all there is each time: only the first of them finds it asleep.
    if (queue.size() == 1) changed.NotifyOne();
    return true;
  }

  void OfferPair(std::unique_ptr<ShadowPair> pair) {
    MutexLock lock(mutex);
    if (pairs_waiting >= options.max_queue || stop) {
      ++uncompared;
      return;
    }
    try {
      pairs.push_back(std::move(pair));
    } catch (const std::bad_alloc&) {
      ++uncompared;
      return;
    }
    ++pairs_waiting;
    if (pairs.size() == kPairsToWake) changed.NotifyOne();
  }

  Status Add(const Source& source) {
    ASSIGN_OR_RETURN(BodyMapping mapping, BodyMapping::Create(source.request, source.response));
    MutexLock lock(sources_mutex);
    if (sources.size() >= kMaxSources) {
      return ResourceExhaustedError(
          "more mappings of bodies (routes[].decode) than a process keeps; restart it");
    }
    sources.push_back(source);
    mappings.push_back(std::move(mapping));
    return OkStatus();
  }
  std::optional<size_t> Find(const Source& source) const {
    MutexLock lock(sources_mutex);
    const auto at = std::find(sources.begin(), sources.end(), source);
    if (at == sources.end()) return std::nullopt;
    return static_cast<size_t>(at - sources.begin());
  }

  // ---- All below is of the one thread.

  /// Waits a moment for room; false when it has waited for long enough.
  bool AwaitRoom(SteadyTime until) {
    MutexLock lock(mutex);
    if (deps.clock.SteadyNow() >= until) return false;
    if (stop && deps.clock.SteadyNow() >= stop_at + kLastWait) return false;
    room.WaitFor(mutex, kRoomWait);
    return true;
  }

  /// Those that headers say, behind what the body says.
  void AddSegments(const ExchangeCopy& copy, LogRecord& record) {
    if (copy.segments().empty()) return;
    size_t count = std::min(record.segment_names.size(), segment_names.size());
    std::copy_n(record.segment_names.begin(), count, segment_names.begin());
    for (const auto& [name, segment] : copy.segments()) {
      if (count == segment_names.size()) break;
      segment_names[count] = name;
      record.segments[count++] = segment;
    }
    record.segment_names = {segment_names.data(), count};
  }

  void Tell(const ExchangeCopy& copy) {
    PredictionEvent event = copy.event();
    LogRecord record;
    record.request_id = event.request_id;
    const BodyMapping* const mapped = MappingOf(copy);
    const uint64_t before = request_bodies.decoded + response_bodies.decoded;
    bodies.ReadRequest(copy.request, request_bodies, record,
                       mapped != nullptr ? mapped->request() : nullptr);
    if (event.outcome == StatusCode::kOk)
      bodies.ReadResponse(copy.response, response_bodies, record,
                          mapped != nullptr ? mapped->response() : nullptr);
    ++(request_bodies.decoded + response_bodies.decoded > before ? decoded : bare);
    event.request_id = record.request_id;
    AddSegments(copy, record);
    if (record.rows) event.rows = *record.rows;
    payload.Fill(record, event);
    if (deps.sink.TryEmit(event)) return;
    const SteadyTime until = deps.clock.SteadyNow() + kPatience;
    while (AwaitRoom(until)) {
      if (deps.sink.TryEmit(event)) return;
    }
    deps.sink.Emit(event);  // counts what cannot be taken
  }

  const BodyMapping* MappingOf(const ExchangeCopy& copy) const {
    MutexLock lock(sources_mutex);
    return copy.source() < mappings.size() ? &mappings[copy.source()] : nullptr;
  }

  void Compare(const ShadowPair& pair) {
    const PredictionEvent& live = pair.live.event();
    const PredictionEvent& shadow = pair.shadow.event();
    const bool live_ok = live.outcome == StatusCode::kOk;
    const bool shadow_ok = shadow.outcome == StatusCode::kOk;
    AnswerDifference difference;
    std::string_view answered_id;
    auto result = ShadowResult::kBothFailed;
    if (live_ok != shadow_ok) {
      result = live_ok ? ShadowResult::kShadowFailed : ShadowResult::kLiveFailed;
    } else if (live_ok) {
      const BodyMapping* const mapped = MappingOf(pair.live);
      difference = comparer.Compare(pair.live.response, pair.shadow.response, pair.tolerance,
                                    mapped != nullptr ? mapped->response() : nullptr);
      result = ShadowResultOf(difference.kind);
      answered_id = comparer.live_id();
    }
    std::string_view id = live.request_id;
    if (id.empty()) id = answered_id.substr(0, kMaxId);
    if (deps.redactor != nullptr)
      id = deps.redactor->Apply(RequestText::kRequestId, id, redacted[0]);
    std::optional<ShadowBook::Latencies> latencies;
    if (live_ok && shadow_ok) latencies = ShadowBook::Latencies{live.latency_ns, shadow.latency_ns};
    shadows->Add(live.model, live.version, shadow.version, result, difference.largest, id,
                 latencies, difference.classes_compared);
    // One row of a request: its rows are not independent of each other.
    if (difference.flips.empty()) return;
    const auto& [row, shadow_class] = difference.flips.front();
    std::string_view kept = shadow_class;
    if (deps.redactor != nullptr)
      kept = deps.redactor->Apply(RequestText::kClass, kept, redacted[1]);
    shadows->AddFlip(live.model, live.version, shadow.version, id, row, kept);
  }

  void Drain() {
    for (;;) {
      std::deque<std::unique_ptr<ExchangeCopy>> items;
      std::unique_ptr<ShadowPair> pair;  // one alone: exchanges that come meanwhile go first
      {
        MutexLock lock(mutex);
        items.swap(queue);
        if (items.empty() && !pairs.empty()) {
          pair = std::move(pairs.front());
          pairs.pop_front();
        }
      }
      if (items.empty() && !pair) return;
      for (; !items.empty(); items.pop_front()) {
        try {
          Tell(*items.front());
        } catch (const std::bad_alloc&) {  // it counts all the same
          deps.sink.Emit(items.front()->event());
        }
        --waiting;
      }
      if (!pair) continue;
      try {
        Compare(*pair);
        ++compared;
      } catch (const std::bad_alloc&) {
        ++uncompared;
      }
      --pairs_waiting;
    }
  }

  void Run() {
    for (;;) {
      {
        MutexLock lock(mutex);
        if (queue.empty() && pairs.size() < kPairsToWake && !stop) changed.WaitFor(mutex, kTick);
        if (queue.empty() && stop) return;
      }
      Drain();
    }
  }

  const Deps deps;
  const Options options;
  const std::shared_ptr<ByteBudget> budget;
  mutable Mutex sources_mutex;
  std::vector<Source> sources GUARDED_BY(sources_mutex);
  std::deque<BodyMapping> mappings
      GUARDED_BY(sources_mutex);  ///< of these; they stay where they are
  Counter decoded{0}, bare{0}, dropped{0}, unsampled{0};
  BodyCounters request_bodies, response_bodies;
  ExchangeBodies bodies;
  RecordPayload payload;
  AnswerComparer comparer;
  std::array<std::string, 2> redacted;
  const std::shared_ptr<ShadowBook> shadows;
  Counter compared{0}, uncompared{0};
  std::array<std::string_view, PredictionEvent::kMaxSegmentations> segment_names;
  Mutex mutex;
  CondVar changed, room;
  std::deque<std::unique_ptr<ExchangeCopy>> queue GUARDED_BY(mutex);
  std::deque<std::unique_ptr<ShadowPair>> pairs GUARDED_BY(mutex);
  std::atomic<size_t> waiting{0};  ///< in the queue, and taken out of it to be told of
  std::atomic<size_t> pairs_waiting{0};
  bool stop GUARDED_BY(mutex) = false;
  SteadyTime stop_at GUARDED_BY(mutex){};
  std::thread thread;
  std::vector<Registry::Registration> registrations;  ///< last: they read the above
};

Result<std::unique_ptr<ExchangeIntake>> ExchangeIntake::Create(Deps deps, Options options) {
  auto impl = std::make_unique<Impl>(deps, std::move(options));
  for (const Source& source : impl->options.sources) RETURN_IF_ERROR(impl->Add(source));
  return std::unique_ptr<ExchangeIntake>(new ExchangeIntake(std::move(impl)));
}

ExchangeIntake::ExchangeIntake(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExchangeIntake::~ExchangeIntake() { Stop(); }

Result<std::vector<size_t>> ExchangeIntake::SourcesOf(const std::vector<Source>& sources) {
  std::vector<size_t> places;
  for (const Source& source : sources) {
    if (!impl_->Find(source)) RETURN_IF_ERROR(impl_->Add(source));
    places.push_back(*impl_->Find(source));
  }
  return places;
}

Status ExchangeIntake::Start() {
  ASSIGN_OR_RETURN(impl_->thread, StartThread("decode", [this] { impl_->Run(); }));
  return OkStatus();
}

void ExchangeIntake::Stop() {
  if (!impl_->thread.joinable()) return;
  {
    MutexLock lock(impl_->mutex);
    impl_->stop = true;
    impl_->uncompared += impl_->pairs.size();  // for these nobody waits
    impl_->pairs.clear();
    impl_->stop_at = impl_->deps.clock.SteadyNow();
    impl_->changed.NotifyAll();
  }
  impl_->thread.join();
}

std::unique_ptr<ExchangeCopy> ExchangeIntake::Begin(size_t source) {
  return std::make_unique<ExchangeCopy>(source, impl_->options.max_body, impl_->budget);
}

void ExchangeIntake::CountUnsampled() { ++impl_->unsampled; }

bool ExchangeIntake::Offer(std::unique_ptr<ExchangeCopy> copy) {
  return impl_->Offer(std::move(copy));
}

void ExchangeIntake::OfferPair(std::unique_ptr<ShadowPair> pair) {
  impl_->OfferPair(std::move(pair));
}

ExchangeIntake::View ExchangeIntake::view() const {
  return {.decoded = impl_->decoded,
          .bare = impl_->bare,
          .dropped = impl_->dropped,
          .unsampled = impl_->unsampled,
          .request_bodies = ByResult(impl_->request_bodies),
          .response_bodies = ByResult(impl_->response_bodies),
          .features = impl_->payload.features(),
          .shadows = impl_->shadows->pairs(),
          .uncompared = impl_->uncompared};
}

ExchangeIntake::Losses ExchangeIntake::losses() const {
  const Impl& of = *impl_;
  return {.told = of.decoded + of.bare,
          .dropped = of.dropped,
          .bodies = of.request_bodies.decoded + of.response_bodies.decoded,
          .bodies_lost = of.request_bodies.lost() + of.response_bodies.lost(),
          .compared = of.compared,
          .uncompared = of.uncompared};
}

void ExchangeIntake::RunOnce() { impl_->Drain(); }

}  // namespace leadsman::intake
