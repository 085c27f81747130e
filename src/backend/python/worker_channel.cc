#include "backend/python/worker_channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/strings.h"

namespace leadsman::python {
namespace {

/// Pages that are not written to cost nothing; most models never need more.
constexpr size_t kFirstRegionBytes = 1 << 20;
constexpr size_t kMaxErrorBytes = 4096;

bool IsErrorCode(uint16_t code) { return code > 0 && code < kStatusCodeCount; }

Status Gone() { return UnavailableError("the Python worker has gone"); }
Status Nonsense(const Message& message) {
  return InternalError(StrCat("the Python worker sent a message of kind ",
                              static_cast<int>(message.kind), " where none was expected"));
}

}  // namespace

Result<WorkerChannel> WorkerChannel::Create(Clock& clock, size_t max_bytes) {
  WorkerChannel channel(clock, max_bytes);
  ASSIGN_OR_RETURN(channel.requests_, SharedRegion::Create(kFirstRegionBytes));
  ASSIGN_OR_RETURN(channel.responses_, SharedRegion::Create(kFirstRegionBytes));
  return channel;
}

bool WorkerChannel::Send(const Message& message) const {
  ssize_t sent = 0;
  do {
    sent = send(socket_.get(), &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof message);
}

bool WorkerChannel::SendRegion(uint16_t which, const SharedRegion& region) {
  if (!Send({.kind = MessageKind::kRegion, .count = which})) return false;
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = region.fd();
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent == 1;
}

Status WorkerChannel::Grow(SharedRegion& region, size_t bytes) const {
  const size_t size = std::min(std::max(bytes, region.size() * 2), std::max(bytes, max_bytes_));
  ASSIGN_OR_RETURN(region, SharedRegion::Create(size));
  return OkStatus();
}

Status WorkerChannel::SendLoad(std::string_view json) {
  if (json.size() > requests_.size()) {
    return InvalidArgumentError(
        StrCat("the model's options and signature are too long (", json.size(), " bytes)"));
  }
  std::copy(json.begin(), json.end(), requests_.bytes().begin());
  if (!Send({.kind = MessageKind::kLoad, .count = kProtocolVersion, .a = json.size()}))
    return Gone();
  return OkStatus();
}

void WorkerChannel::SendQuit() { (void)Send({.kind = MessageKind::kQuit}); }

void WorkerChannel::Wake() { shutdown(socket_.get(), SHUT_RDWR); }

WorkerChannel::ReadEnd WorkerChannel::Read(Message& message) {
  ssize_t size = 0;
  do {
    size = recv(socket_.get(), &message, sizeof message, MSG_DONTWAIT);
  } while (size < 0 && errno == EINTR);
  if (size == static_cast<ssize_t>(sizeof message)) return ReadEnd::kMessage;
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return ReadEnd::kNothing;
  return ReadEnd::kGone;
}

Status WorkerChannel::FailureOf(const Message& failed) const {
  std::string text = Text(failed, kMaxErrorBytes);
  const StatusCode code =
      IsErrorCode(failed.count) ? static_cast<StatusCode>(failed.count) : StatusCode::kInternal;
  return {code, text.empty() ? "the Python worker gave no reason" : std::move(text)};
}

CallEnd WorkerChannel::ReadLate() {
  Message message;
  switch (Read(message)) {
    case ReadEnd::kNothing:
      return CallEnd::kLate;
    case ReadEnd::kGone:
      return CallEnd::kBroken;
    case ReadEnd::kMessage:
      break;
  }
  if (message.kind == MessageKind::kNeed) {  // for nobody: it must not cost memory
    return Send({.kind = MessageKind::kRefused, .a = max_bytes_}) ? CallEnd::kLate
                                                                  : CallEnd::kBroken;
  }
  const bool answered =
      (message.kind == MessageKind::kDone || message.kind == MessageKind::kFailed) &&
      message.number == number_;
  return answered ? CallEnd::kAnswered : CallEnd::kBroken;
}

WorkerChannel::CallResult WorkerChannel::Run(const Signature& signature,
                                             std::span<const TensorView> inputs,
                                             SteadyTime deadline, OutputBuffer& out) {
  Result<InputLayout> layout = LayOutInputs(signature, inputs);
  if (!layout.ok()) return {CallEnd::kAnswered, layout.status()};
  if (layout->total_bytes > max_bytes_) {
    return {CallEnd::kAnswered,
            InvalidArgumentError(StrCat(
                "the inputs take ", layout->total_bytes, " bytes, more than the ", max_bytes_,
                " that the model's runtime option max_tensor_bytes allows; send fewer rows at "
                "once"))};
  }
  if (layout->total_bytes > requests_.size()) {
    Status grown = Grow(requests_, layout->total_bytes);
    if (!grown.ok()) return {CallEnd::kAnswered, std::move(grown)};
    if (!SendRegion(0, requests_)) return {CallEnd::kNotSent, Gone()};
  }
  WriteInputs(signature, inputs, *layout, requests_.bytes());
  const Message run{.kind = MessageKind::kRun,
                    .count = static_cast<uint16_t>(layout->count),
                    .number = ++number_,
                    .a = layout->head_bytes};
  if (!Send(run)) return {CallEnd::kNotSent, Gone()};
  return Answer(signature, deadline, out);
}

WorkerChannel::CallResult WorkerChannel::Answer(const Signature& signature, SteadyTime deadline,
                                                OutputBuffer& out) {
  for (;;) {
    const Duration left = deadline - clock_->SteadyNow();
    timespec timeout{};
    if (left > Duration::zero()) {
      timeout.tv_sec = static_cast<time_t>(left / std::chrono::seconds(1));
      timeout.tv_nsec = static_cast<long>((left % std::chrono::seconds(1)).count());
    }
    pollfd waited{socket_.get(), POLLIN, 0};
    const int ready = ppoll(&waited, 1, &timeout, nullptr);
    if (ready < 0 && errno != EINTR) return {CallEnd::kBroken, Gone()};
    if (ready <= 0) {
      if (deadline > clock_->SteadyNow()) continue;
      return {CallEnd::kLate,
              DeadlineExceededError("the model did not answer before the request's deadline")};
    }
    Message message;
    switch (Read(message)) {
      case ReadEnd::kNothing:
        continue;
      case ReadEnd::kGone:
        return {CallEnd::kBroken, Gone()};
      case ReadEnd::kMessage:
        break;
    }
    if (message.kind == MessageKind::kNeed) {
      if (message.a > max_bytes_ || !Grow(responses_, message.a).ok()) {
        if (!Send({.kind = MessageKind::kRefused, .a = max_bytes_}))
          return {CallEnd::kBroken, Gone()};
      } else if (!SendRegion(1, responses_)) {
        return {CallEnd::kBroken, Gone()};
      }
      continue;
    }
    if (message.number != number_) return {CallEnd::kBroken, Nonsense(message)};
    if (message.kind == MessageKind::kFailed) return {CallEnd::kAnswered, FailureOf(message)};
    if (message.kind != MessageKind::kDone) return {CallEnd::kBroken, Nonsense(message)};
    Status read = ReadOutputs(signature, message, responses_.bytes(), out);
    const CallEnd end = read.ok() ? CallEnd::kAnswered : CallEnd::kBroken;
    return {end, std::move(read)};
  }
}

}  // namespace leadsman::python
