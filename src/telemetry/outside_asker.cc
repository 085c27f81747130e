#include "telemetry/outside_asker.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/strings.h"
#include "telemetry/outside_answers.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {
namespace {

constexpr std::chrono::seconds kLook{1};  // however often nobody wakes a thread

OutsideReading NoAnswer(const Status& why) {
  OutsideReading reading;
  reading.reason = std::string(why.message());
  return reading;
}

/// Of an OutsideOptions, an ApprovalWebhook.
template <typename T>
SenderTarget TargetAt(const std::string& url, const T& asked) {
  SenderTarget target;
  target.url = url;
  target.timeout = asked.timeout;
  target.tls.ca_file = asked.ca_file;
  target.tls.cert_file = asked.cert_file;
  target.tls.key_file = asked.key_file;
  target.token_file = asked.token_file;
  target.username = asked.username;
  target.password_file = asked.password_file;
  return target;
}

}  // namespace

SenderTarget TargetOf(const RolloutGate& gate) {
  const OutsideOptions& o = gate.outside;
  return TargetAt(gate.kind == RolloutGate::Kind::kWebhook ? o.url : o.address, o);
}

SenderTarget TargetOf(const ApprovalWebhook& hook) { return TargetAt(hook.url, hook); }

OutsideAsker::~OutsideAsker() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    waiting_.clear();
    threads = std::move(threads_);
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads) thread.join();
}

void OutsideAsker::Ask(OutsideQuestion question) {
  MutexLock lock(mutex_);
  if (cancelled_ || !open_.insert({question.rollout, question.gate}).second) return;
  if (waiting_.size() >= idle_ && threads_.size() < kThreads && !StartThreadLocked() &&
      threads_.empty()) {
    PutLocked(question, NoAnswer(ResourceExhaustedError("there is no thread to ask with")));
    return;
  }
  waiting_.push_back(std::move(question));
  wake_.NotifyOne();
}

bool OutsideAsker::StartThreadLocked() {
  try {
    threads_.emplace_back([this] { Run(); });
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

std::vector<OutsideReading> OutsideAsker::Take(int64_t rollout) {
  MutexLock lock(mutex_);
  auto found = answers_.find(rollout);
  if (found == answers_.end()) return {};
  std::vector<OutsideReading> taken = std::move(found->second);
  answers_.erase(found);
  return taken;
}

void OutsideAsker::Forget(int64_t rollout) {
  MutexLock lock(mutex_);
  answers_.erase(rollout);
  std::erase_if(waiting_, [&](const OutsideQuestion& q) { return q.rollout == rollout; });
  std::erase_if(open_, [&](const Gate& gate) { return gate.first == rollout; });
}

/// Unless the rollout has been forgotten.
void OutsideAsker::PutLocked(const OutsideQuestion& question, OutsideReading reading) {
  if (open_.erase({question.rollout, question.gate}) == 0) return;
  reading.gate = question.gate;
  reading.step = question.step;
  reading.step_elapsed = question.step_elapsed;
  answers_[question.rollout].push_back(std::move(reading));
}

/// Waits for a question; nothing at the end.
std::optional<OutsideQuestion> OutsideAsker::Next() {
  MutexLock lock(mutex_);
  ++idle_;
  while (!cancelled_ && waiting_.empty()) wake_.WaitFor(mutex_, kLook);
  --idle_;
  if (cancelled_) return std::nullopt;
  OutsideQuestion question = std::move(waiting_.front());
  waiting_.pop_front();
  return question;
}

void OutsideAsker::Run() {
  while (const std::optional<OutsideQuestion> question = Next()) {
    OutsideReading reading = AnswerTo(*question);
    MutexLock lock(mutex_);
    PutLocked(*question, std::move(reading));
  }
}

OutsideReading OutsideAsker::AskApproval(const OutsideQuestion& question) {
  const ApprovalWebhook& hook = *question.approval;
  auto http = SenderHttp::Create(TargetOf(hook));
  if (!http.ok()) return NoAnswer(http.status());
  SenderHttp::Message message;
  message.body = question.text;
  message.headers = {{"x-leadsman-event", "approval.wanted"}};
  if (!hook.secret_file.empty()) {
    const Result<std::string> secret = ReadSecret(hook.secret_file);
    if (!secret.ok()) return NoAnswer(Annotate(secret.status(), "secret_file"));
    const int64_t now = UnixMillis(clock_.Now()) / 1000;
    message.headers.emplace_back("x-leadsman-signature",
                                 WebhookSignature(*secret, now, message.body));
  }
  SenderHttp::Answer answer = (*http)->Post({hook.timeout, cancelled_, false}, std::move(message));
  if (!answer.status.ok()) return NoAnswer(answer.status);
  return ReadApprovalAnswer(answer.body);
}

OutsideReading OutsideAsker::AnswerTo(const OutsideQuestion& question) {
  if (question.approval) return AskApproval(question);
  auto http = SenderHttp::Create(TargetOf(question.about));
  if (!http.ok()) return NoAnswer(http.status());
  SenderHttp::Message message;
  const bool promql = question.about.kind == RolloutGate::Kind::kPromql;
  if (promql) {
    message.path = "/api/v1/query";
    message.content_type = "application/x-www-form-urlencoded";
    message.body = StrCat("query=", UrlEncode(question.text));
  } else {
    message.body = question.text;
  }
  const Courier::Errand errand{question.about.outside.timeout, cancelled_, false};
  SenderHttp::Answer answer = (*http)->Post(errand, std::move(message));
  if (!answer.status.ok()) return NoAnswer(answer.status);
  return promql ? ReadPromqlAnswer(answer.body) : ReadWebhookAnswer(answer.body);
}

}  // namespace leadsman
