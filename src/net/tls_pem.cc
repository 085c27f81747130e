#include "net/tls_pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include <memory>

#include "base/strings.h"
#include "net/tls_stream.h"

namespace leadsman::net {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> Reader(std::string_view text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), int(text.size())));
}

/// A key with a pass phrase would have OpenSSL ask for it on the terminal.
int NoPassPhrase(char*, int, int, void*) { return -1; }

Owned<X509> NextCertificate(BIO* bio) {
  return Owned<X509>(PEM_read_bio_X509_AUX(bio, nullptr, NoPassPhrase, nullptr));
}

/// True when the text ended and nothing in it was wrong.
bool AtEnd() {
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

WallTime TimeOf(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return WallTime::max();
  // The year 9999 is a common end, and beyond what nanoseconds can count.
  const std::chrono::seconds seconds(timegm(&parts));
  return seconds < std::chrono::floor<std::chrono::seconds>(WallTime::duration::max())
             ? WallTime(seconds)
             : WallTime::max();
}

}  // namespace

Status UseChain(SSL_CTX* context, const std::string& pem, const std::string& where,
                WallTime* expires) {
  Owned<BIO> bio = Reader(pem);
  Owned<X509> own = NextCertificate(bio.get());
  if (!own) {
    ERR_clear_error();
    return InvalidArgumentError(StrCat(where, " holds no certificate in PEM"));
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return InvalidArgumentError(StrCat(where, " cannot be used: ", TakeSslError()));
  }
  *expires = TimeOf(X509_get0_notAfter(own.get()));
  while (Owned<X509> next = NextCertificate(bio.get())) {
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) {
      return InvalidArgumentError(
          StrCat(where, " has a chain that cannot be used: ", TakeSslError()));
    }
    (void)next.release();
  }
  if (!AtEnd()) {
    return InvalidArgumentError(StrCat(where, " ends in something broken: ", TakeSslError()));
  }
  return OkStatus();
}

Status UseKey(SSL_CTX* context, const std::string& pem, const std::string& where,
              std::string_view certificate) {
  Owned<BIO> bio = Reader(pem);
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (!key) {
    ERR_clear_error();
    const bool locked = pem.find("ENCRYPTED") != std::string::npos;
    return InvalidArgumentError(StrCat(where, locked
                                                  ? " has a pass phrase; store the key without one"
                                                  : " holds no private key in PEM"));
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    (void)TakeSslError();
    return InvalidArgumentError(
        StrCat(where, " is not the key of the certificate in ", certificate));
  }
  return OkStatus();
}

Status UseAuthorities(SSL_CTX* context, const std::string& pem, const std::string& where) {
  Owned<BIO> bio = Reader(pem);
  int count = 0;
  while (Owned<X509> authority = NextCertificate(bio.get())) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return InvalidArgumentError(StrCat(where, " cannot be used: ", TakeSslError()));
    }
    ++count;
  }
  if (!AtEnd()) {
    return InvalidArgumentError(StrCat(where, " ends in something broken: ", TakeSslError()));
  }
  if (count == 0) return InvalidArgumentError(StrCat(where, " holds no certificates in PEM"));
  return OkStatus();
}

}  // namespace leadsman::net
