package event_test

import "testing"

// BenchmarkAdmit is what it costs to check an event that comes from outside.
func BenchmarkAdmit(b *testing.B) {
	c := catalogue(b)
	for name, data := range map[string]string{
		"compact": `{"order_id":"o-123456","email":"somebody@example.org","count":17,"to":{"city":"Unterföhring","zip":"85774"}}`,
		"spaced":  `{"order_id": "o-123456", "email": "somebody@example.org", "count": 17, "to": {"city": "Unterföhring", "zip": "85774"}}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := c.Admit("order.placed", 0, []byte(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
