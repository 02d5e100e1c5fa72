"""Identifiers of the public frameworks that controls and scenarios are mapped to.

Editions are part of an identifier where two editions number differently. Titles are the
frameworks' own; they are facts, not prose of ours.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """One row of one framework."""

    framework: str
    id: str
    title: str


def _nhi(number: int, title: str) -> Reference:
    return Reference("OWASP NHI Top 10 (2025)", f"NHI{number}:2025", title)


def _asi(number: int, title: str) -> Reference:
    return Reference("OWASP Agentic Top 10 (2026)", f"ASI{number:02d}", title)


def _attack(technique: str, title: str) -> Reference:
    return Reference("MITRE ATT&CK", technique, title)


def _atlas(technique: str, title: str) -> Reference:
    return Reference("MITRE ATLAS", f"AML.{technique}", title)


def _nist(control: str, title: str) -> Reference:
    return Reference("NIST SP 800-53 r5", control, title)


NHI1 = _nhi(1, "Improper Offboarding")
NHI2 = _nhi(2, "Secret Leakage")
NHI3 = _nhi(3, "Vulnerable Third-Party NHI")
NHI4 = _nhi(4, "Insecure Authentication")
NHI5 = _nhi(5, "Overprivileged NHI")
NHI6 = _nhi(6, "Insecure Cloud Deployment Configurations")
NHI7 = _nhi(7, "Long-Lived Secrets")
NHI8 = _nhi(8, "Environment Isolation")
NHI9 = _nhi(9, "NHI Reuse")

ASI01 = _asi(1, "Agent Goal Hijack")
ASI02 = _asi(2, "Tool Misuse and Exploitation")
ASI03 = _asi(3, "Identity and Privilege Abuse")
ASI07 = _asi(7, "Insecure Inter-Agent Communication")
ASI09 = _asi(9, "Human-Agent Trust Exploitation")
ASI10 = _asi(10, "Rogue Agents")

T1078_004 = _attack("T1078.004", "Valid Accounts: Cloud Accounts")
T1098_001 = _attack("T1098.001", "Account Manipulation: Additional Cloud Credentials")
T1098_003 = _attack("T1098.003", "Account Manipulation: Additional Cloud Roles")
T1199 = _attack("T1199", "Trusted Relationship")
T1499 = _attack("T1499", "Endpoint Denial of Service")
T1528 = _attack("T1528", "Steal Application Access Token")
T1548_005 = _attack("T1548.005", "Temporary Elevated Cloud Access")
T1550_001 = _attack("T1550.001", "Application Access Token")
T1552_001 = _attack("T1552.001", "Credentials In Files")
T1555_006 = _attack("T1555.006", "Cloud Secrets Management Stores")
T1530 = _attack("T1530", "Data from Cloud Storage")
T1685_002 = _attack("T1685.002", "Disable or Modify Tools: Disable or Modify Cloud Log")
T1621 = _attack("T1621", "Multi-Factor Authentication Request Generation")
T1606 = _attack("T1606", "Forge Web Credentials")

T0051_001 = _atlas("T0051.001", "LLM Prompt Injection: Indirect")
T0086 = _atlas("T0086", "Exfiltration via AI Agent Tool Invocation")

AC_2_3 = _nist("AC-2(3)", "Disable Accounts")
AC_2_12 = _nist("AC-2(12)", "Account Monitoring for Atypical Usage")
AC_2_13 = _nist("AC-2(13)", "Disable Accounts for High-risk Individuals")
AC_3 = _nist("AC-3", "Access Enforcement")
AC_3_2 = _nist("AC-3(2)", "Dual Authorization")
AC_3_8 = _nist("AC-3(8)", "Revocation of Access Authorizations")
AC_3_13 = _nist("AC-3(13)", "Attribute-based Access Control")
AC_5 = _nist("AC-5", "Separation of Duties")
AC_6 = _nist("AC-6", "Least Privilege")
AC_24 = _nist("AC-24", "Access Control Decisions")
AU_9 = _nist("AU-9", "Protection of Audit Information")
AU_12 = _nist("AU-12", "Audit Record Generation")
IA_5 = _nist("IA-5", "Authenticator Management")
IA_5_7 = _nist("IA-5(7)", "No Embedded Unencrypted Static Authenticators")
IA_9 = _nist("IA-9", "Service Identification and Authentication")
IA_13_2 = _nist("IA-13(2)", "Verification of Identity Assertions and Access Tokens")
SC_5 = _nist("SC-5", "Denial-of-Service Protection")
SC_7 = _nist("SC-7", "Boundary Protection")
SC_8 = _nist("SC-8", "Transmission Confidentiality and Integrity")
SC_23 = _nist("SC-23", "Session Authenticity")
SI_4 = _nist("SI-4", "System Monitoring")
SI_10 = _nist("SI-10", "Information Input Validation")
