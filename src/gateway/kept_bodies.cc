#include "gateway/kept_bodies.h"

#include <algorithm>
#include <exception>

#include "events/segment_rule.h"
#include "gateway/worker.h"

namespace leadsman::gateway {

void KeptBodies::Begin(const RouteTable::Route& route, const net::HttpRequest& request,
                       uint64_t length, GrpcMethod call) noexcept {
  ExchangeSink* const exchanges = worker_.shared().exchanges;
  if (exchanges == nullptr || route.sample <= 0) return;
  if (route.sample < 1 && worker_.rng().Uniform() >= route.sample)
    return exchanges->CountUnsampled();
  try {
    sample_ = route.sample;
    copy_ = exchanges->Begin(route.source);
    const bool framed = call != GrpcMethod::kNone;
    copy_->Begin(copy_->request, request.Header("content-type"),
                 request.Header(framed ? "grpc-encoding" : "content-encoding"),
                 request.Header("inference-header-content-length"), length, call);
    for (const SegmentRule& rule : worker_.table().segments[route.service]) {
      if (!rule.header.empty()) copy_->AddSegment(rule.name, request.Header(rule.header));
    }
  } catch (const std::exception&) {  // no memory
    copy_.reset();
  }
}

/// What the mirror alone needs: when there is no memory for it, the copy goes, and the original goes on.
template <typename Work>
void KeptBodies::ForShadow(const Work& work) noexcept {
  if (!shadow_) return;
  try {
    work(*shadow_);
  } catch (const std::exception&) {
    if (shadow_) worker_.shadows().GiveUp(std::move(shadow_));
  }
}

void KeptBodies::BeginAnswer(const AnswerHead& head) noexcept {
  const auto begin = [&](ExchangeCopy& copy) {
    copy.Begin(copy.response, head.content_type, head.content_encoding, head.json_bytes,
               head.length, head.call);
  };
  if (copy_) {
    try {
      begin(*copy_);
    } catch (const std::exception&) {
      copy_.reset();
    }
  }
  if (worker_.shared().exchanges != nullptr)
    ForShadow([&](Shadow& shadow) { begin(shadow.pair->live); });
}

void KeptBodies::Answer(std::string_view bytes) {
  if (copy_) copy_->Append(copy_->response, bytes);
  if (shadow_ && worker_.shared().exchanges != nullptr)
    shadow_->pair->live.Append(shadow_->pair->live.response, bytes);
}

void KeptBodies::Tell(PredictionEvent& event) {
  if (copy_) {
    event.feature_weight = static_cast<float>(1 / sample_);
    try {
      copy_->SetEvent(event);
      if (worker_.shared().exchanges->Offer(std::move(copy_))) return;
    } catch (const std::exception&) {  // no memory
    }
    event.feature_weight = 1;
  }
  worker_.shared().sink.Emit(event);
}

void KeptBodies::SendShadow(const Version& version, StatusCode outcome, std::string_view id,
                            SteadyTime started, bool whole) noexcept {
  ForShadow([&](Shadow& shadow) {
    if (worker_.shared().exchanges != nullptr) {
      PredictionEvent event;
      event.model = version.service->options.name;
      event.version = version.number;
      event.outcome = outcome;
      event.latency_ns = static_cast<uint64_t>(
          std::max<int64_t>((worker_.shared().clock.SteadyNow() - started).count(), 0));
      event.request_id = id;
      shadow.pair->live.SetEvent(event);
    }
    worker_.shadows().Send(std::move(shadow_), whole);
  });
}

}  // namespace leadsman::gateway
