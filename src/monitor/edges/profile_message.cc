#include "monitor/edges/profile_message.h"

#include <zlib.h>

#include <algorithm>

#include "base/strings.h"
#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kKind = 'P';
constexpr uint8_t kVersion = 2;
constexpr uint8_t kWithoutVariety =
    1;  ///< the version before: edges are updated after their monitor
constexpr size_t kChecksum = 4;
/// A message that is longer gets no further profile: proxies often take a megabyte and no more.
constexpr size_t kLongEnough = 512 << 10;
constexpr std::chrono::hours kLongestInterval{24};

uint32_t Checksum(std::string_view bytes) {
  const uLong sum = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return static_cast<uint32_t>(sum);
}

Status Wrong(std::string_view field, std::string_view why) {
  return InvalidArgumentError(StrCat(field, ": ", why));
}

/// Cheap, and in the order in which it helps: somebody else's bytes, another version, damage on the way.
Status CheckFrame(std::string_view bytes) {
  if (bytes.size() > kMaxProfileMessage)
    return Wrong("body", StrCat("is longer than ", kMaxProfileMessage, " bytes"));
  if (bytes.size() < 2 + kChecksum || bytes[0] != kKind)
    return Wrong("body", "is no message of profiles, as leadsman sends them (docs/edges.md)");
  if (const auto version = static_cast<uint8_t>(bytes[1]);
      version != kVersion && version != kWithoutVariety)
    return Wrong("version", StrCat("this program reads messages of version ", int{kVersion},
                                   " and of the one before, not of ", int{version},
                                   ": use the same release of leadsman for monitor and edges, and "
                                   "update the monitor first"));
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksum);
  uint32_t told = 0;
  for (size_t i = 0; i < kChecksum; ++i)
    told |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[body.size() + i])) << (8 * i);
  if (told != Checksum(body)) return Wrong("checksum", "does not fit: the message was damaged");
  return OkStatus();
}

Result<ProfileHeader> ReadHeader(ByteReader& in) {
  ProfileHeader header;
  header.edge = in.Text(kMaxEdgeName);
  if (!in.ok()) return Wrong("edge", StrCat("must be a name of 1 to ", kMaxEdgeName, " bytes"));
  if (std::string wrong = CheckEdgeName(header.edge); !wrong.empty()) return Wrong("edge", wrong);
  header.process = in.Fixed64();
  header.sequence = in.Varint();
  if (!in.ok() || header.sequence == 0 || header.sequence >= uint64_t{1} << 62)
    return Wrong("sequence", "must be a whole number from 1");
  const uint64_t every = in.Varint();
  if (!in.ok() ||
      every > static_cast<uint64_t>(std::chrono::milliseconds(kLongestInterval).count()))
    return Wrong("every", "must be milliseconds, at most a day");
  header.every = std::chrono::milliseconds(every);
  const uint8_t last = in.Byte();
  if (!in.ok() || last > 1) return Wrong("last", "must be 0 or 1");
  header.last = last == 1;
  return header;
}

}  // namespace

std::string CheckEdgeName(std::string_view name) {
  auto control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
  if (name.empty() || name.size() > kMaxEdgeName ||
      std::any_of(name.begin(), name.end(), control) || ToUtf8(name) != name) {
    return StrCat("must be a name of 1 to ", kMaxEdgeName,
                  " bytes of UTF-8, without control characters");
  }
  return "";
}

std::string WriteProfileMessage(const ProfileHeader& header,
                                std::span<const IntervalProfile> profiles, size_t& taken) {
  // The count stands before them.
  std::string body;
  taken = 0;
  while (taken < std::min(profiles.size(), kMaxProfilesInMessage) && body.size() < kLongEnough) {
    ByteWriter one(kKind, kVersion);
    profiles[taken++].Write(one);
    body += std::move(one).Take().substr(2);
  }
  ByteWriter out(kKind, kVersion);
  out.Text(header.edge);
  out.Fixed64(header.process);
  out.Varint(header.sequence);
  out.Varint(static_cast<uint64_t>(header.every.count()));
  out.Byte(header.last ? 1 : 0);
  out.Varint(taken);
  std::string message = std::move(out).Take() + body;
  const uint32_t sum = Checksum(message);
  for (size_t i = 0; i < kChecksum; ++i) message.push_back(static_cast<char>(sum >> (8 * i)));
  return message;
}

Result<ProfileHeader> ReadProfileMessage(std::string_view bytes,
                                         const std::function<void(IntervalProfile&&)>& take) {
  RETURN_IF_ERROR(CheckFrame(bytes));
  const auto version = static_cast<uint8_t>(bytes[1]);
  ByteReader in(bytes.substr(0, bytes.size() - kChecksum), kKind, version);
  ASSIGN_OR_RETURN(ProfileHeader header, ReadHeader(in));
  const uint64_t count = in.Varint();
  if (!in.ok() || count > kMaxProfilesInMessage)
    return Wrong("profiles", StrCat("must be at most ", kMaxProfilesInMessage));
  for (uint64_t i = 0; i < count; ++i) {
    IntervalProfile profile;
    if (Status read = profile.Read(in, version != kWithoutVariety); !read.ok())
      return InvalidArgumentError(StrCat("profiles[", i, "].", read.message()));
    take(std::move(profile));
  }
  if (!in.Finished()) return Wrong("body", "goes on behind its last profile");
  return header;
}

}  // namespace leadsman
