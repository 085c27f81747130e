#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "events/exchange.h"
#include "events/prediction_event.h"
#include "events/redactor.h"
#include "intake/exchange_bodies.h"
#include "intake/shadow_book.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// Decodes copies of exchanges that passed by, as a gateway hands them over, and gives a sink their events with inputs and
/// predictions.
///
///   I/O threads: Begin ─ Append … ─ Offer ─▶ queue ─▶ one thread: decode ─▶ sink
///                                   OfferPair ─▶ queue ─▶ the same thread: compare ─▶ ShadowBook
///
/// Pairs come after exchanges, and none of them reaches the sink. Two bounds, both counted: bytes of bodies, from their first piece to their decoding; exchanges, and pairs, in the queue. What a body does not
/// say is left out of its event, which counts all the same.
///
/// Thread-safe but for Start and Stop, which belong to the owner.
class ExchangeIntake final : public ExchangeSink {
 public:
  /// How one source's bodies are read: by what they look like, or where it says.
  struct Source {
    BodyMapping::Fields request, response;
    friend bool operator==(const Source&, const Source&) = default;
  };
  struct Options {
    size_t max_body = 1 << 20;  ///< of a request, and of an answer; compressed or not
    size_t max_held_bytes = size_t{64} << 20;  ///< of all bodies
    size_t max_queue = 4096;                   ///< exchanges
    std::vector<Source> sources;               ///< by ExchangeCopy::source()
  };
  struct Deps {
    const Clock& clock;
    Sink& sink;
    Registry& registry;
    const Redactor* redactor = nullptr;  ///< for ids and classes that are kept; null: no rules
    /// Where comparisons are counted; null: in one of its own. Whoever has labels tells it of them.
    std::shared_ptr<ShadowBook> shadows = nullptr;
  };
  /// INVALID_ARGUMENT for a mapping that cannot be.
  static Result<std::unique_ptr<ExchangeIntake>> Create(Deps deps, Options options);
  ~ExchangeIntake() override;  ///< as Stop()

  /// Which ExchangeCopy::source() copies are to have that are read so: one for each of these, the same for the same, also of those that are
  /// known already. At any time, and they stay. INVALID_ARGUMENT for a mapping that cannot be; RESOURCE_EXHAUSTED beyond 4,096 of them.
  Result<std::vector<size_t>> SourcesOf(const std::vector<Source>& sources);

  Status Start();
  /// What is queued is given to the sink, for at most some seconds; the sink must live on meanwhile. Pairs are dropped.
  void Stop();

  std::unique_ptr<ExchangeCopy> Begin(size_t source) override;
  void CountUnsampled() override;
  bool Offer(std::unique_ptr<ExchangeCopy> copy) override;
  void OfferPair(std::unique_ptr<ShadowPair> pair) override;

  /// What came of exchanges, for people.
  struct View {
    uint64_t decoded = 0;  ///< told of with something of a body
    uint64_t bare = 0;     ///< told of without
    uint64_t dropped = 0;  ///< the queue was full
    uint64_t unsampled = 0;
    std::map<std::string, uint64_t> request_bodies, response_bodies;  ///< by what came of them
    std::map<std::string, std::vector<std::string>> features;         ///< their names by model
    std::vector<ShadowBook::Pair> shadows;
    uint64_t uncompared = 0;  ///< pairs that there was no room for
  };
  View view() const;

  /// What came and what of it was lost; sums.
  struct Losses {
    uint64_t told = 0;     ///< exchanges whose bodies were looked at
    uint64_t dropped = 0;  ///< exchanges whose bodies were not, as the queue was full
    uint64_t bodies = 0;   ///< that were decoded
    uint64_t bodies_lost = 0;
    uint64_t compared = 0;  ///< pairs
    uint64_t uncompared = 0;
  };
  Losses losses() const;

  /// Everything that was offered before has been told of, and compared, when it returns. For tests; without Start().
  void RunOnce();

 private:
  struct Impl;
  explicit ExchangeIntake(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::intake
