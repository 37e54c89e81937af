package auth

import "slices"

// Right is what a principal may do, by the name the API shows (contract A15.1,
// A15.2). Reading takes none.
type Right string

// The rights within a company.
const (
	DevelopExtensions Right = "develop_extensions"
	ManageProperties  Right = "manage_properties"
)

// The rights within a property.
const (
	Approve            Right = "approve"
	Develop            Right = "develop"
	EditProperty       Right = "edit_property"
	ManageEnvironments Right = "manage_environments"
	ManageExtensions   Right = "manage_extensions"
	Publish            Right = "publish"
)

// The rights within an organisation that the contract does not know, so that no
// resource of it shows them.
const (
	// ManageTokens is to make, see and revoke API tokens.
	ManageTokens Right = "manage_tokens"
	// Operate is to see and deal with what is about the running of the fleet.
	Operate Right = "operate"
	// ReadAudit is to read who has done what.
	ReadAudit Right = "read_audit"
)

// CompanyRights lists the rights within a company, as they are shown.
func CompanyRights() []Right { return []Right{DevelopExtensions, ManageProperties} }

// PropertyRights lists the rights within a property, as they are shown.
func PropertyRights() []Right {
	return []Right{Approve, Develop, EditProperty, ManageEnvironments, ManageExtensions, Publish}
}

// FleetRights lists the rights that no resource of the contract shows.
func FleetRights() []Right { return []Right{ManageTokens, Operate, ReadAudit} }

// Rights is a set of rights.
type Rights []Right

// AllRights returns every right there is.
func AllRights() Rights { return slices.Concat(CompanyRights(), PropertyRights(), FleetRights()) }

// Have reports whether right is among them. The empty right is everybody's.
func (rs Rights) Have(right Right) bool { return right == "" || slices.Contains(rs, right) }

// Among returns those of the listed rights that are held, in the list's order;
// never nil.
func (rs Rights) Among(listed []Right) []Right {
	held := make([]Right, 0, len(listed))
	for _, r := range listed {
		if rs.Have(r) {
			held = append(held, r)
		}
	}
	return held
}
