package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// signed checks the customer's signature of specs/instruction.md, if the event claims to have one.
func (p *tlogProof) signed(event map[string]any) error {
	class, _ := event["evidence"].(string)
	signature, given := p.extra["signature"].(map[string]any)
	signer, named := p.extra["signer"].(map[string]any)
	if class != "A" && class != "B" {
		if given || named || len(p.extra) != 3 {
			return fmt.Errorf("a signature under what a session said")
		}
		return nil
	}
	if !given || !named || len(p.extra) != 5 {
		return fmt.Errorf("class %s without a signature", class)
	}
	public, key := bytesOf(signer, "public"), bytesOf(signature, "key")
	if id := sha256.Sum256(public); string(id[:]) != string(key) {
		return fmt.Errorf("another key")
	}
	challenge := sha256.Sum256(append([]byte("sovereign/instruction/v1\x00"), canonical(event)...))
	message := append([]byte("sovereign/browser-key/v1\x00"), challenge[:]...)
	if class == "A" {
		var err error
		if message, err = asserted(signature, signer, challenge[:]); err != nil {
			return err
		}
	}
	return verified(public, message, bytesOf(signature, "signature"))
}

func asserted(signature, signer map[string]any, challenge []byte) ([]byte, error) {
	client, data := bytesOf(signature, "client_data"), bytesOf(signature, "authenticator_data")
	var said struct {
		Type, Challenge, Origin string
		CrossOrigin             bool
	}
	if err := json.Unmarshal(client, &said); err != nil {
		return nil, err
	}
	rp, _ := signer["rp"].(string)
	party := sha256.Sum256([]byte(rp))
	wanted := base64.RawURLEncoding.EncodeToString(challenge)
	switch {
	case said.Type != "webauthn.get" || said.Challenge != wanted || said.CrossOrigin:
		return nil, fmt.Errorf("asked for something else")
	case said.Origin != "https://"+rp && !strings.HasSuffix(said.Origin, "."+rp):
		return nil, fmt.Errorf("asked elsewhere")
	case len(data) < 37 || string(data[:32]) != string(party[:]) || data[32]&5 != 5:
		return nil, fmt.Errorf("another relying party, or nobody verified")
	}
	hash := sha256.Sum256(client)
	return append(data, hash[:]...), nil
}

func verified(public, message, signature []byte) error {
	found, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return err
	}
	hash, good := sha256.Sum256(message), false
	switch key := found.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, hash[:], signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, message, signature)
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature) == nil
	}
	if !good {
		return fmt.Errorf("the customer's signature is wrong")
	}
	return nil
}

func bytesOf(parts map[string]any, name string) []byte {
	text, _ := parts[name].(string)
	found, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return found
}
