#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace leadsman {

/// Sums over a stream of bytes. Confined to one thread.
class Digest {
 public:
  enum class Kind { kSha256, kMd5 };
  /// False for MD5 where OpenSSL is held to FIPS 140: that must not be constructed then.
  static bool Available(Kind kind);
  explicit Digest(Kind kind);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void Add(const void* data, size_t size);
  void Add(std::string_view bytes) { Add(bytes.data(), bytes.size()); }
  /// In small hex digits; ends the stream.
  std::string Hex();

 private:
  void* context_;  ///< OpenSSL's EVP_MD_CTX
};

/// CRC-32C (Castagnoli) of `bytes`, continuing from `before`.
uint32_t Crc32c(uint32_t before, std::string_view bytes);

std::string ToHex(std::string_view bytes);
/// Nothing when it is no base64.
bool FromBase64(std::string_view text, std::string& bytes);
std::string ToBase64(std::string_view bytes);
/// Without padding, with - and _ (RFC 4648 §5).
std::string ToBase64Url(std::string_view bytes);

}  // namespace leadsman
