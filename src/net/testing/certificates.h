#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"

namespace leadsman::net {

/// A certificate and its key, in PEM.
struct TestCertificate {
  std::string certificate;
  std::string key;
};

/// A certificate authority for tests, of a key made on the spot. Header only, for the tests of other rooms: they link
/// OpenSSL::SSL.
class TestAuthority {
 public:
  struct Subject {
    std::string common_name = "test";
    std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";
    long begins_seconds = -3600;  ///< from now
    long ends_seconds = 86400;
  };

  explicit TestAuthority(const std::string& name = "Leadsman test authority")
      : key_(EVP_EC_gen("P-256")),
        certificate_(Make({.common_name = name, .names = ""}, key_.get(), true)) {}

  /// What clients and servers are to trust.
  std::string pem() const { return Pem(certificate_.get()); }

  TestCertificate Issue(const Subject& subject) const {
    Key key(EVP_EC_gen("P-256"));
    Certificate made = Make(subject, key.get(), false);
    BIO* out = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return {Pem(made.get()), Text(out)};
  }
  TestCertificate Issue() const { return Issue(Subject()); }

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  static std::string Text(BIO* bio) {
    char* data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    std::string text(data, size_t(size));
    BIO_free(bio);
    return text;
  }
  static std::string Pem(X509* certificate) {
    BIO* out = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509(out, certificate) == 1);
    return Text(out);
  }
  static void Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    CHECK(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  Certificate Make(const Subject& subject, EVP_PKEY* key, bool authority) const {
    static int64_t serial = 1;
    Certificate made(X509_new());
    X509* c = made.get();
    X509_set_version(c, 2);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(c), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c), subject.begins_seconds);
    X509_gmtime_adj(X509_getm_notAfter(c), subject.ends_seconds);
    X509_set_pubkey(c, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(subject.common_name.c_str()),
                               -1, -1, 0);
    X509* issuer = authority ? c : certificate_.get();
    X509_set_issuer_name(c, X509_get_subject_name(issuer));
    Extend(c, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!subject.names.empty()) Extend(c, issuer, NID_subject_alt_name, subject.names);
    CHECK(X509_sign(c, authority ? key : key_.get(), EVP_sha256()) != 0);
    return made;
  }

  Key key_;
  Certificate certificate_;
};

}  // namespace leadsman::net
