package config

import (
	"crypto/x509"
	"fmt"
	"time"

	"golang.org/x/crypto/ocsp"
)

// staple checks that the OCSP response of a certificate is one, and is about it. chain is nil when nothing is known of the
// certificate: then only the first is looked at. A response that is right but of no use makes warnings, for it is left out
// (RFC 6066 section 8 leaves a server free to send none).
func (l *loader) staple(tab *table, c *Certificate, chain []*x509.Certificate) {
	if c.OCSP == nil {
		return
	}
	at := tab.get("ocsp").val.at
	var leaf, issuer *x509.Certificate // without an issuer the signature of the response is left unchecked
	if len(chain) > 0 {
		leaf = chain[0]
	}
	if len(chain) > 1 {
		issuer = chain[1]
	}
	rsp, err := ocsp.ParseResponseForCert(c.OCSP, leaf, issuer)
	if err != nil {
		l.errorf(at, "ocsp: %s is not a successful OCSP response in DER for this certificate: %v", c.OCSPFile, err)
		return
	}
	warn := func(format string, args ...any) {
		l.problem(Warning, at, "", "ocsp: "+fmt.Sprintf(format, args...)+"; it is not stapled")
	}
	switch {
	case rsp.Status == ocsp.Revoked:
		warn("%s says that the certificate was revoked on %s UTC", c.OCSPFile, rsp.RevokedAt.UTC().Format(time.DateTime))
	case rsp.Status != ocsp.Good:
		warn("%s does not say that the certificate is good", c.OCSPFile)
	case !rsp.NextUpdate.IsZero() && l.now.After(rsp.NextUpdate):
		warn("%s ended on %s UTC", c.OCSPFile, rsp.NextUpdate.UTC().Format(time.DateTime))
	}
}
