#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "events/exchange.h"
#include "events/grpc_method.h"
#include "gateway/routes.h"
#include "gateway/shadows.h"
#include "gateway/upstreams.h"
#include "net/http_server.h"

// Internal to the gateway.

namespace leadsman::gateway {

class Worker;

/// What is kept of a request and its answer while they pass, whatever they come by: for who reads predictions out of them, and for
/// the service's mirror. Whatever becomes of that, the original goes on. Confined to its worker's thread.
///
///   Begin, SetShadow → Request … → BeginAnswer → Answer … → Tell, SendShadow
class KeptBodies {
 public:
  explicit KeptBodies(Worker& worker) : worker_(worker) {}

  /// For who reads predictions, if somebody does and this one is drawn. `length`: of the body, if the head says it.
  void Begin(const RouteTable::Route& route, const net::HttpRequest& request, uint64_t length,
             GrpcMethod call = GrpcMethod::kNone) noexcept;
  void SetShadow(std::unique_ptr<Shadow> shadow) { shadow_ = std::move(shadow); }
  bool any() const { return copy_ != nullptr || shadow_ != nullptr; }

  /// A piece of the request's body, or of the answer's.
  void Request(std::string_view bytes) {
    if (copy_) copy_->Append(copy_->request, bytes);
    if (shadow_) shadow_->pair->live.Append(shadow_->pair->live.request, bytes);
  }
  void Answer(std::string_view bytes);

  struct AnswerHead {
    std::string_view content_type, content_encoding;
    std::string_view json_bytes = {};
    uint64_t length = 0;
    GrpcMethod call = GrpcMethod::kNone;
  };
  void BeginAnswer(const AnswerHead& head) noexcept;

  /// To who reads predictions, with what was kept, if there is room for it; else the event alone.
  void Tell(PredictionEvent& event);
  /// The copy to the mirror. `outcome`: of the original's first try. `whole`: there is something to compare, and all of the
  /// request.
  void SendShadow(const Version& version, StatusCode outcome, std::string_view id,
                  SteadyTime started, bool whole) noexcept;
  void Clear() {
    copy_.reset();
    shadow_.reset();
  }

 private:
  template <typename Work>
  void ForShadow(const Work& work) noexcept;

  Worker& worker_;
  std::unique_ptr<ExchangeCopy> copy_;  ///< null: nobody reads it
  double sample_ = 1;                   ///< of how many it is one
  std::unique_ptr<Shadow> shadow_;      ///< null: it is not mirrored
};

}  // namespace leadsman::gateway
