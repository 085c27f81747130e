#include "telemetry/batch_sender.h"

#include <utility>

#include "base/log.h"
#include "telemetry/otlp_answer.h"

namespace leadsman {
namespace {

using std::chrono::seconds;

/// Tries of one body that the peer ended early.
constexpr int kMostCutOffs = 5;
constexpr seconds kLongestPause{30};
/// A peer that rejects part of every body is not told of each time.
constexpr seconds kTellOfRejections{60};

/// A token may be replaced, and what waits is worth it; a peer that is busy may be less so later.
bool RefusedForGood(int status) {
  return status >= 400 && status < 500 && status != 401 && status != 403 && status != 408 &&
         status != 429;
}

}  // namespace

Result<std::unique_ptr<BatchSender>> BatchSender::Create(Clock& clock, const Options& options) {
  std::unique_ptr<BatchSender> sender(new BatchSender(clock, options));
  if (options.grpc_method.empty()) {
    SenderTarget target;
    target.url = options.url;
    target.headers_file = options.headers_file;
    target.tls.ca_file = options.ca_file;
    ASSIGN_OR_RETURN(sender->http_, SenderHttp::Create(std::move(target)));
  } else {
    ASSIGN_OR_RETURN(sender->grpc_,
                     GrpcClient::Create({options.url, options.headers_file, options.ca_file}));
  }
  Courier::Options courier;
  courier.thread = "batch-sender";
  courier.peer = ShownUrl(options.url);
  courier.timeout = options.timeout;
  courier.longest_pause = kLongestPause;
  ASSIGN_OR_RETURN(sender->courier_,
                   Courier::Start(std::move(courier), clock,
                                  [made = sender.get()](const Courier::Errand& errand) {
                                    return made->Carry(errand);
                                  }));
  return sender;
}

BatchSender::~BatchSender() = default;

void BatchSender::Send(std::string body, uint64_t items) {
  {
    MutexLock lock(mutex_);
    bytes_ += body.size();
    bodies_.push_back({std::move(body), items});
    MakeRoom();
  }
  courier_->Wake();
}

void BatchSender::MakeRoom() {
  while (bodies_.size() > options_.max_bodies ||
         (bytes_ > options_.max_bytes && bodies_.size() > 1)) {
    counters_.items_dropped += bodies_.front().items;
    bytes_ -= bodies_.front().bytes.size();
    bodies_.pop_front();
  }
}

BatchSender::Counters BatchSender::counters() const {
  const Courier::Counters tries = courier_->counters();
  MutexLock lock(mutex_);
  Counters counters = counters_;
  counters.sent = tries.sent;
  counters.failed = tries.failed;
  counters.waiting = bodies_.size() + (sending_ ? 1 : 0);
  return counters;
}

BatchSender::Delivery BatchSender::Post(const Courier::Errand& errand, const std::string& body) {
  SenderHttp::Message message;
  message.body = body;
  message.content_type = options_.content_type;
  SenderHttp::Answer answer = http_->Post(errand, std::move(message));
  return {.status = std::move(answer.status),
          .refused = RefusedForGood(answer.http),
          .answer = std::move(answer.body)};
}

BatchSender::Delivery BatchSender::Call(const Courier::Errand& errand, const std::string& body) {
  GrpcClient::Answer answer = grpc_->Call(errand, options_.grpc_method, body);
  const std::optional<Duration> delay = ReadRetryDelay(answer.details);
  const bool refused = answer.answered && !answer.status.ok() &&
                       !IsRetryableOtlp(answer.status.code(), delay.has_value());
  return {.status = std::move(answer.status),
          .refused = refused,
          .cut_off = answer.cut_off,
          .rest = delay.value_or(Duration(0)),
          .answer = std::move(answer.message)};
}

/// Of a body that an OTLP peer has taken; says so now and then.
uint64_t BatchSender::RejectedBy(const std::string& answer) {
  const auto partial = ReadOtlpPartialSuccess(answer);
  if (!partial) return 0;
  const SteadyTime now = clock_.SteadyNow();
  if (!rejection_told_ || now - *rejection_told_ >= kTellOfRejections) {
    rejection_told_ = now;
    LOG_WARN("the peer takes a body and rejects part of it", {"peer", ShownUrl(options_.url)},
             {"rejected", partial->rejected}, {"reason", partial->words});
  }
  return partial->rejected;
}

Courier::Report BatchSender::Carry(const Courier::Errand& errand) {
  Body body;
  {
    MutexLock lock(mutex_);
    if (bodies_.empty()) return {};
    body = std::move(bodies_.front());
    bodies_.pop_front();
    bytes_ -= body.bytes.size();
    sending_ = true;
  }
  Delivery delivery = grpc_ ? Call(errand, body.bytes) : Post(errand, body.bytes);
  const uint64_t rejected = options_.otlp && delivery.status.ok() ? RejectedBy(delivery.answer) : 0;
  MutexLock lock(mutex_);
  sending_ = false;
  if (delivery.status.ok()) {
    counters_.items_sent += body.items;
    counters_.rejected += rejected;
    return {Courier::Outcome::kSent, {}};
  }
  // As one that is too large: it would hold up all behind it for good.
  if (delivery.cut_off && ++body.cut_off == kMostCutOffs) delivery.refused = true;
  if (delivery.refused) {
    counters_.items_refused += body.items;
    return {Courier::Outcome::kRefused, std::move(delivery.status)};
  }
  bytes_ += body.bytes.size();
  bodies_.push_front(std::move(body));
  MakeRoom();
  return {Courier::Outcome::kAgain, std::move(delivery.status), delivery.rest};
}

}  // namespace leadsman
