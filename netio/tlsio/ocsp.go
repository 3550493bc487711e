package tlsio

import (
	"crypto/x509"
	"errors"

	"golang.org/x/crypto/ocsp"
)

// staple adds the OCSP response of a source to h. A response that is of no use is left out with a warning: clients that
// insist on one fail either way, the others must not.
func (l *loader) staple(s *CertSource, h *hostCert, chain []*x509.Certificate) {
	if s.OCSP == nil && s.OCSPFile == "" {
		return
	}
	der, ok := l.content(s.OCSPFile, s.OCSP)
	if !ok {
		return
	}
	var issuer *x509.Certificate // without it the signature of the response is left unchecked
	if len(chain) > 1 {
		issuer = chain[1]
	}
	rsp, err := ocsp.ParseResponseForCert(der, h.leaf, issuer)
	switch {
	case err != nil:
		l.errorf("%s: %w", s.OCSPFile, ocspProblem(err))
	case rsp.SerialNumber == nil || rsp.SerialNumber.Cmp(h.leaf.SerialNumber) != 0:
		l.errorf("%s: the OCSP response is not about the certificate in %s", s.OCSPFile, s.CertFile)
	case rsp.Status == ocsp.Revoked:
		l.warnf("%s: the OCSP response says that the certificate was revoked on %s; it is not stapled", s.OCSPFile, rsp.RevokedAt.UTC())
	case rsp.Status != ocsp.Good:
		l.warnf("%s: the OCSP response does not say that the certificate is good; it is not stapled", s.OCSPFile)
	case !rsp.NextUpdate.IsZero() && l.now.After(rsp.NextUpdate):
		l.warnf("%s: the OCSP response ended on %s; it is not stapled", s.OCSPFile, rsp.NextUpdate.UTC())
	default:
		h.staple, h.stapleUntil = der, rsp.NextUpdate
	}
}

func ocspProblem(err error) error {
	if _, ok := errors.AsType[ocsp.ParseError](err); ok {
		return errors.New("not an OCSP response in DER for this certificate: " + err.Error())
	}
	return err
}
