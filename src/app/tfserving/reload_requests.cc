#include "app/tfserving/reload_requests.h"

#include <chrono>

#include "base/strings.h"

namespace leadsman::tfserving {
namespace {

constexpr size_t kMostWaiting = 16;

Status Stopped() { return UnavailableError("the server is shutting down"); }

}  // namespace

Result<Config> WithModelsOf(std::string_view model_server_config, const Config& running,
                            const InitialModel& initial) {
  Config next = running;
  next.models_of_client = true;
  ASSIGN_OR_RETURN(next.models,
                   ModelsFromSerialized(model_server_config, [&](const std::string& name) {
                     Config::Model model = initial(name);
                     model.model.format.clear();
                     model.model.policy = {};
                     model.model.labels.clear();
                     model.from_repository = false;
                     return model;
                   }));
  RETURN_IF_ERROR(ApplyOverrides({}, next));  // what only the whole shows
  return next;
}

void ReloadRequests::Submit(std::string config, Done done) {
  Status refused = OkStatus();
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      refused = Stopped();
    } else if (waiting_.size() >= kMostWaiting) {
      refused = ResourceExhaustedError(
          StrCat(kMostWaiting, " reloads wait for their turn already; try again later"));
    } else {
      waiting_.push_back({std::move(config), std::move(done)});
      if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
      wake_.NotifyOne();
      return;
    }
  }
  done(refused);
}

void ReloadRequests::Stop() {
  std::deque<Request> left;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    left.swap(waiting_);
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  for (Request& request : left) request.done(Stopped());
}

void ReloadRequests::Loop() {
  while (true) {
    Request request;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopped_) wake_.WaitFor(mutex_, std::chrono::hours(1));
      if (stopped_) return;
      request = std::move(waiting_.front());
      waiting_.pop_front();
    }
    CarryOut(std::move(request));
  }
}

void ReloadRequests::CarryOut(Request request) {
  Result<std::vector<std::string>> added = steps_.apply(request.config);
  if (!added.ok()) return request.done(added.status());
  steps_.await(std::move(added).value(), [done = std::move(request.done)](const Status& status) {
    if (status.code() != StatusCode::kFailedPrecondition) return done(status);
    done(Status(StatusCode::kUnknown,
                StrCat("model(s) did not become available: ", status.message())));
  });
}

}  // namespace leadsman::tfserving
