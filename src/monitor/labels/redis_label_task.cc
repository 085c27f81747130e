#include "monitor/labels/redis_label_task.h"

#include <algorithm>

#include "base/strings.h"
#include "monitor/labels/kept_codec.h"

namespace leadsman {
namespace {

using Kind = RedisLabelTask::Kind;
using Reply = RedisConnection::Reply;
using Answer = LabelStore::Answer;

/// How long keys of a prediction are worth having.
std::string MillisLeft(const KeptPrediction& of, WallTime wall) {
  const int64_t grace = std::chrono::milliseconds(LabelStore::kLateGrace).count();
  return std::to_string(std::max<int64_t>(of.expires_ms + grace - UnixMillis(wall), 1000));
}

/// What follows the token; nothing when that is no claim.
std::optional<std::string> LabelIn(std::string_view value) {
  const size_t colon = value.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == value.size())
    return std::nullopt;
  return std::string(value.substr(colon + 1));
}

}  // namespace

size_t RedisLabelTask::bytes() const {
  return sizeof(*this) + prediction.request_id.size() + prediction.model.size() +
         prediction.predicted.size() + prediction.segments.size() +
         prediction.class_scores.size() * sizeof(float) + label.size();
}

std::string RedisLabelTaskCodec::KeyOf(char kind, const KeptPrediction& of) const {
  return StrCat(options_.key_prefix, kind, ":", of.row, ":", of.request_id);
}

std::string RedisLabelTaskCodec::TokenOf(const RedisLabelTask& task) const {
  return StrCat(token_, "-", task.ticket);
}

Status RedisLabelTaskCodec::Foreign(char kind) const {
  return InvalidArgumentError(StrCat("redis at ", options_.address, " has something else under ",
                                     options_.key_prefix, kind,
                                     ":…; is key_prefix used by another program?"));
}

size_t RedisLabelTaskCodec::CommandsOf(Kind kind) {
  return kind == Kind::kKeep ? 1 : kind == Kind::kFind ? 2 : 3;
}

void RedisLabelTaskCodec::AddCommands(const RedisLabelTask& task, WallTime wall,
                                      std::vector<RedisConnection::Command>& commands) const {
  const KeptPrediction& p = task.prediction;
  switch (task.kind) {
    case Kind::kKeep:
      commands.push_back({"SET", KeyOf('p', p), EncodeKept(p), "PX", MillisLeft(p, wall), "NX"});
      break;
    case Kind::kFind:
      // Not MGET, which takes a key of another type for one that is not there.
      commands.push_back({"GET", KeyOf('l', p)});
      commands.push_back({"GET", KeyOf('p', p)});
      break;
    case Kind::kClaim:
      commands.push_back({"SET", KeyOf('l', p), StrCat(TokenOf(task), ":", task.label), "PX",
                          MillisLeft(p, wall), "NX"});
      commands.push_back({"GET", KeyOf('l', p)});
      commands.push_back({"DEL", KeyOf('p', p)});
      break;
  }
}

RedisLabelTaskCodec::Outcome RedisLabelTaskCodec::Read(const RedisLabelTask& task,
                                                       std::span<const Reply> replies) const {
  Outcome outcome;
  Answer failed;
  failed.ticket = task.ticket;
  for (const Reply& reply : replies) {
    if (reply.kind != Reply::Kind::kError) continue;
    Status status = StatusOfRedis(reply.text, options_);
    if (status.code() != StatusCode::kInvalidArgument) {
      outcome.again = std::move(status);
      return outcome;
    }
    outcome.strange = reply.text.starts_with("WRONGTYPE")
                          ? Foreign(task.kind == Kind::kClaim ? 'l' : 'p')
                          : std::move(status);
  }
  if (!outcome.strange.ok()) {
    if (task.kind != Kind::kKeep) outcome.answer = std::move(failed);
    return outcome;
  }
  switch (task.kind) {
    case Kind::kKeep:  // OK, or nil for an id that has been used before
      return outcome;
    case Kind::kFind:
      return ReadFind(task, replies);
    case Kind::kClaim:
      return ReadClaim(task, replies);
  }
  return outcome;
}

RedisLabelTaskCodec::Outcome RedisLabelTaskCodec::ReadFind(const RedisLabelTask& task,
                                                           std::span<const Reply> replies) const {
  const Reply& label = replies[0];
  const Reply& prediction = replies[1];
  Outcome outcome;
  Answer& answer = outcome.answer.emplace();
  answer.ticket = task.ticket;
  if (label.kind == Reply::Kind::kText) {
    answer.label = LabelIn(label.text);
    answer.kind = answer.label ? Answer::Kind::kTaken : Answer::Kind::kFailed;
    if (!answer.label) outcome.strange = Foreign('l');
  } else if (prediction.kind == Reply::Kind::kText) {
    if (auto decoded = DecodeKept(prediction.text)) {
      answer.kind = Answer::Kind::kFound;
      answer.prediction = std::move(*decoded);
      answer.prediction.request_id = task.prediction.request_id;
      answer.prediction.row = task.prediction.row;
    } else {
      outcome.strange = Foreign('p');
    }
  } else {
    answer.kind = Answer::Kind::kNone;
  }
  return outcome;
}

RedisLabelTaskCodec::Outcome RedisLabelTaskCodec::ReadClaim(const RedisLabelTask& task,
                                                            std::span<const Reply> replies) const {
  const bool set = replies[0].kind == Reply::Kind::kText;
  const Reply& held = replies[1];
  Outcome outcome;
  Answer answer;
  answer.ticket = task.ticket;
  if (held.kind != Reply::Kind::kText) {
    // Evicted before it could be read; or what stood there ended between the two commands.
    if (!set) {
      outcome.again = UnavailableError(
          StrCat("redis at ", options_.address, " has lost a label while it was asked for it"));
      return outcome;
    }
    answer.kind = Answer::Kind::kClaimed;
  } else if (held.text.starts_with(TokenOf(task) + ":")) {
    answer.kind = Answer::Kind::kClaimed;
  } else {
    answer.label = LabelIn(held.text);
    answer.kind = answer.label ? Answer::Kind::kTaken : Answer::Kind::kFailed;
    if (!answer.label) outcome.strange = Foreign('l');
  }
  outcome.answer = std::move(answer);
  return outcome;
}

}  // namespace leadsman
