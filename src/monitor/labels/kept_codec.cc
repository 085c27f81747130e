#include "monitor/labels/kept_codec.h"

#include <bit>

#include "base/wire.h"

namespace leadsman {
namespace {

// They lie in Redis: numbers must never change their meaning.
constexpr uint32_t kModel = 1, kVersion = 2, kPredicted = 3, kScore = 4, kAt = 5, kExpires = 6,
                   kWeight = 7, kDrawn = 8, kAnswer = 9, kScoreOf = 10, kSegments = 11,
                   kClassScores = 12;

/// What a newer program may have written is not known here.
template <typename E>
E EnumFrom(uint64_t value, E last) {
  return value <= static_cast<uint64_t>(last) ? static_cast<E>(value) : E{};
}

}  // namespace

std::string BytesOfScores(std::span<const float> scores) {
  std::string bytes;
  for (float score : scores) {
    const auto value = std::bit_cast<uint32_t>(score);
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift));
  }
  return bytes;
}

std::vector<float> ScoresOfBytes(std::string_view bytes) {
  if (bytes.size() % 4 != 0 || bytes.size() / 4 > ClassScores::kMaxClasses) return {};
  std::vector<float> scores;
  for (size_t at = 0; at < bytes.size(); at += 4) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i)
      value |= uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
    scores.push_back(std::bit_cast<float>(value));
  }
  return scores;
}

std::string EncodeKept(const KeptPrediction& p) {
  std::string bytes;
  WireWriter out(bytes);
  out.Bytes(kModel, p.model);
  out.Number(kVersion, static_cast<uint64_t>(p.version));
  out.Bytes(kPredicted, p.predicted);
  out.Double(kScore, p.score);
  out.Number(kAt, static_cast<uint64_t>(p.at_ms));
  out.Number(kExpires, static_cast<uint64_t>(p.expires_ms));
  out.Double(kWeight, p.weight);
  out.NumberOrNothing(kDrawn, p.drawn ? 1 : 0);
  out.NumberOrNothing(kAnswer, static_cast<uint64_t>(p.answer));
  out.NumberOrNothing(kScoreOf, static_cast<uint64_t>(p.score_of));
  out.Text(kSegments, p.segments);
  out.Text(kClassScores, BytesOfScores(p.class_scores));
  return bytes;
}

std::optional<KeptPrediction> DecodeKept(std::string_view bytes) {
  KeptPrediction p;
  WireReader in(bytes);
  while (in.Next()) {
    const bool text = in.type() == WireReader::kBytes;
    const bool number = in.type() == WireReader::kVarint;
    const bool real = in.type() == WireReader::kFixed64;
    switch (in.field()) {
      case kModel:
        if (text) p.model = in.bytes();
        break;
      case kVersion:
        if (number) p.version = static_cast<int64_t>(in.varint());
        break;
      case kPredicted:
        if (text) p.predicted = in.bytes();
        break;
      case kScore:
        if (real) p.score = std::bit_cast<double>(in.fixed());
        break;
      case kAt:
        if (number) p.at_ms = static_cast<int64_t>(in.varint());
        break;
      case kExpires:
        if (number) p.expires_ms = static_cast<int64_t>(in.varint());
        break;
      case kWeight:
        if (real) p.weight = std::bit_cast<double>(in.fixed());
        break;
      case kDrawn:
        if (number) p.drawn = in.varint() != 0;
        break;
      case kAnswer:
        if (number) p.answer = EnumFrom(in.varint(), AnswerKind::kNumber);
        break;
      case kScoreOf:
        if (number) p.score_of = EnumFrom(in.varint(), ScoreOf::kSecondClass);
        break;
      case kSegments:
        if (text) p.segments = in.bytes();
        break;
      case kClassScores:
        if (text) p.class_scores = ScoresOfBytes(in.bytes());
        break;
      default:
        break;
    }
  }
  constexpr int64_t kFarthest = int64_t{1} << 42;  // the year 2109, which still fits in nanoseconds
  const bool sound = in.ok() && !p.model.empty() && !p.predicted.empty() && p.version >= 0 &&
                     p.at_ms >= 0 && p.at_ms <= p.expires_ms && p.expires_ms > 0 &&
                     p.expires_ms < kFarthest && p.weight >= 1 && p.weight < 1e9;
  if (!sound) return std::nullopt;
  return p;
}

}  // namespace leadsman
