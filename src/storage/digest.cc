#include "storage/digest.h"

#include <openssl/evp.h>

#include <array>

#include "base/check.h"

namespace leadsman {
namespace {

EVP_MD_CTX* Context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

bool Begin(EVP_MD_CTX* context, Digest::Kind kind) {
  const EVP_MD* algorithm = kind == Digest::Kind::kSha256 ? EVP_sha256() : EVP_md5();
  return context != nullptr && EVP_DigestInit_ex(context, algorithm, nullptr) == 1;
}

constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    tables[0][i] = crc;
  }
  for (size_t t = 1; t < 8; ++t) {
    for (uint32_t i = 0; i < 256; ++i)
      tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 255];
  }
  return tables;
}
constexpr auto kTables = MakeTables();

}  // namespace

Digest::Digest(Kind kind) : context_(EVP_MD_CTX_new()) { CHECK(Begin(Context(context_), kind)); }
bool Digest::Available(Kind kind) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  bool available = Begin(context, kind);
  EVP_MD_CTX_free(context);
  return available;
}
Digest::~Digest() { EVP_MD_CTX_free(Context(context_)); }

void Digest::Add(const void* data, size_t size) {
  CHECK(EVP_DigestUpdate(Context(context_), data, size) == 1);
}

std::string Digest::Hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(EVP_DigestFinal_ex(Context(context_), digest, &size) == 1);
  return ToHex(std::string_view(reinterpret_cast<const char*>(digest), size));
}

uint32_t Crc32c(uint32_t before, std::string_view bytes) {
  uint32_t crc = ~before;
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint32_t low =
        crc ^ (uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24);
    crc = kTables[7][low & 255] ^ kTables[6][(low >> 8) & 255] ^ kTables[5][(low >> 16) & 255] ^
          kTables[4][low >> 24] ^ kTables[3][p[4]] ^ kTables[2][p[5]] ^ kTables[1][p[6]] ^
          kTables[0][p[7]];
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 255];
  return ~crc;
}

std::string ToHex(std::string_view bytes) {
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string ToBase64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                             reinterpret_cast<const unsigned char*>(bytes.data()),
                             static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

std::string ToBase64Url(std::string_view bytes) {
  std::string out = ToBase64(bytes);
  while (out.ends_with('=')) out.pop_back();
  for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return out;
}

bool FromBase64(std::string_view text, std::string& bytes) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > (1 << 20)) return false;
  bytes.resize(text.size() / 4 * 3);
  int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                             reinterpret_cast<const unsigned char*>(text.data()),
                             static_cast<int>(text.size()));
  if (size < 0) return false;
  size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.resize(static_cast<size_t>(size) - padding);
  return true;
}

}  // namespace leadsman
